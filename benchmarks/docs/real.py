"""Tables of suite `real`: scores and fixed comparisons, memory and time, trials, and the long run of MeZO."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from benchmarks.config.names import is_trained
from benchmarks.docs.methods import RowsOf
from benchmarks.docs.remedy import no_rows
from benchmarks.report.fixed_table import entries
from benchmarks.report.provenance import provenance_line
from benchmarks.report.tables import NONE, pipe
from benchmarks.results import fixed
from benchmarks.results.frame import Results, setting_of
from benchmarks.results.order import display_order, format_value
from benchmarks.results.paired import pairs_needed
from benchmarks.results.run_costs import CHECKPOINTING, KEY, measured, with_costs

RUNS, COSTS, TRIALS, LONG = "real", "real-costs", "real-grid", "real-mezo"
# Rows of SST-2 are short, and those of SQuAD are long.
MEMORY_ON = {"sst2": "memory on SST-2 (GB)", "squad": "memory on SQuAD (GB)"}
TIME_ON, TIME = "sst2", "time on SST-2 (min)"


def tables() -> dict[str, Callable[[RowsOf], str]]:
    """Return the tables by full name, as functions of `rows_of`, which returns the rows of a suite."""
    return {
        "real:overview": overview,
        "real:summary": summary,
        "real:costs": step_costs,
        "real:trials": trials,
        "real:long": long_run,
    }


def owners(name: str) -> list[str]:
    """Return the suites whose rows a table shows.

    >>> owners("real:overview")
    ['real', 'real-costs', 'real-grid']
    """
    of_kind = {
        "real:overview": [RUNS, COSTS, TRIALS],
        "real:summary": [RUNS, COSTS],
        "real:costs": [COSTS],
        "real:trials": [TRIALS],
        "real:long": [RUNS, LONG],
    }
    return of_kind[name]


def overview(rows_of: RowsOf) -> str:
    """Return a line per method: scores, the comparison with Addax, the learning rate, memory, and time."""
    rows, costs = rows_of(RUNS), rows_of(COSTS)
    if not rows:
        return no_rows(RUNS)
    lines, note = _compared(rows, costs)
    edges = edge_rates(rows_of(TRIALS))
    lines["learning rate"] = [
        NONE if pd.isna(rate) else f"{rate:g}{edges.get(label.removesuffix(CHECKPOINTING), '')}"
        for label, rate in zip(lines["method"], lines["learning rate"], strict=True)
    ]
    return "\n\n".join([pipe(lines), note, provenance_line(rows)])


def summary(rows_of: RowsOf) -> str:
    """Return the overview without learning rates, provenance, and empty columns; the page has them."""
    rows = rows_of(RUNS)
    if not rows:
        return no_rows(RUNS)
    lines, note = _compared(rows, rows_of(COSTS))
    lines = lines.drop(columns=["learning rate", *lines.columns[(lines == NONE).all()]])
    return f"{pipe(lines)}\n\n{note}"


def _compared(rows: Sequence[Mapping], costs: Sequence[Mapping]) -> tuple[pd.DataFrame, str]:
    """Return a line per method, with the learning rate as a number, and the note on all lines."""
    from benchmarks.suites.real import COMPARISONS

    results = Results.of(rows)
    compared = fixed.against(results.selected, COMPARISONS.reference, COMPARISONS.others)
    of_label = {line.label: line for line in compared.itertuples()}
    seeds = results.means["n"].max()
    peaks = measured(costs).set_index(KEY)["peak_bytes"]
    means = results.means if not costs else with_costs(results.means, costs)
    titles = {
        task: means.loc[means["task"] == task, "title"].iloc[0] for task in display_order(means, "task")
    }
    lines = []
    for label in display_order(means, "label"):
        own = means[means["label"] == label].set_index("task")
        plain, model = label.removesuffix(CHECKPOINTING), own["model"].iloc[0]
        lines.append(
            {
                "method": label,
                **{title: _score(own, task, seeds) for task, title in titles.items()},
                **entries(of_label.get(plain), COMPARISONS.reference),
                "learning rate": own["lr"].iloc[0] if is_trained(label) else float("nan"),
                **{
                    head: _number(peaks, (model, task, label), 1e9, ".2f") for task, head in MEMORY_ON.items()
                },
                TIME: _number(own["train_seconds"], TIME_ON, 60, ".1f") if costs else NONE,
            }
        )
    return pd.DataFrame(lines), _note(seeds, compared, costs)


def _note(seeds: int, compared: pd.DataFrame, costs: Sequence[Mapping]) -> str:
    fewest, most = compared["n"].min(), compared["n"].max()
    pairs = f"{most}" if fewest == most else f"{fewest} to {most}"
    text = (
        f"A score is a mean ± standard deviation of {seeds} seeds. The differences are over all pairs of "
        f"runs with equal task and seed ({pairs}); p is from a sign-flip permutation test, Holm-corrected "
        f"over these {len(compared)} comparisons, which were fixed before the runs."
    )
    needed = pairs_needed(len(compared))
    if most < needed:
        text += f" No comparison can be significant yet: that takes {needed} pairs."
    if costs:
        text += (
            " Memory is the peak of 20 steps, and the time of a run its number of steps times the median "
            "time of these steps."
        )
    return text


def _score(own: pd.DataFrame, task: str, seeds: int) -> str:
    if task not in own.index or pd.isna(own.loc[task, "score"]):
        return NONE
    score, spread, n = (own.loc[task, name] for name in ("score", "score_std", "n"))
    text = f"{100 * score:.1f}" + ("" if pd.isna(spread) else f" ± {100 * spread:.1f}")
    return text if n == seeds or not is_trained(own["label"].iloc[0]) else f"{text} (n={n})"


def _number(values: pd.Series, key: object, unit: float, form: str) -> str:
    """Return one value in units as text; a dash if it is not known."""
    return f"{values[key] / unit:{form}}" if key in values.index and pd.notna(values[key]) else NONE


def step_costs(rows_of: RowsOf) -> str:
    """Return a line per method: the peak memory and the median time of a step on each task."""
    rows = rows_of(COSTS)
    if not rows:
        return no_rows(COSTS)
    costs = measured(rows)
    titles = {row["config"]["task"]: row.get("task_title") or row["config"]["task"] for row in rows}
    by_key = costs.set_index(["task", "label"])
    tasks = display_order(costs, "task")
    lines = [
        {
            "method": label,
            **{
                f"{titles[task]} ({name})": _number(by_key[column], (task, label), unit, ".2f")
                for column, unit, name in (("peak_bytes", 1e9, "GB"), ("step_seconds", 1, "s"))
                for task in tasks
            },
        }
        for label in display_order(costs, "label")
    ]
    return f"{pipe(pd.DataFrame(lines))}\n\n{provenance_line(rows)}"


def edge_rates(rows: Sequence[Mapping]) -> dict[str, str]:
    """Return " (edge)" for each method whose best rate is the smallest or the largest that was tried."""
    return {
        label: " (edge)"
        for label, tried, best in _trials_of(rows)
        if best in (tried.index[0], tried.index[-1])
    }


def trials(rows_of: RowsOf) -> str:
    """Return a line per method: the rates that were tried, with the validation score of each."""
    rows = rows_of(TRIALS)
    if not rows:
        return no_rows(TRIALS)
    edges = edge_rates(rows)
    lines = [
        {
            "method": label,
            "rate: validation score": "; ".join(
                f"{format_value(rate)}: {text}" for rate, text in tried.items()
            ),
            "chosen": NONE if best is None else f"{best:g}{edges.get(label, '')}",
        }
        for label, tried, best in _trials_of(rows)
    ]
    return f"{pipe(pd.DataFrame(lines))}\n\n{provenance_line(rows)}"


def _trials_of(rows: Sequence[Mapping]) -> Iterator[tuple[str, pd.Series, float | None]]:
    """Yield each method with its validation scores as text by rate, and its best rate; None if none finished.

    A run that did not finish has its outcome instead of a score.
    """
    if not rows:
        return
    results = Results.of(rows)
    for label in display_order(results.runs, "label"):
        runs, selected = (part[part["label"] == label] for part in (results.runs, results.selected))
        rates = [setting_of(text)["lr"] for text in runs["setting"]]
        texts = [
            f"{100 * run.validation_score:.1f}" if run.outcome == "done" else run.outcome
            for run in runs.itertuples()
        ]
        best = selected["lr"].iloc[0] if (selected["outcome"] == "done").any() else None
        yield label, pd.Series(texts, rates).sort_index(), best


def long_run(rows_of: RowsOf) -> str:
    """Return MeZO's run with five times the budget next to the runs of MeZO and Addax with the same seed."""
    long = rows_of(LONG)
    if not long:
        return no_rows(LONG)
    config = long[0]["config"]
    same = [
        row
        for row in rows_of(RUNS)
        if (row["config"]["task"], row["config"]["seed"]) == (config["task"], config["seed"])
        and row["label"] in ("MeZO", "Addax")
    ]
    lines = [
        {
            "method": row["label"],
            "steps": row["steps"] or NONE,
            "forward equivalents": f"{row['forward_equivalents'] or 0:,}",
            "score (%)": f"{100 * row['score']:.1f}" if row["status"] == "done" else row["status"],
        }
        for row in (*same, *long)
    ]
    return f"{pipe(pd.DataFrame(lines))}\n\n{provenance_line(long)}"
