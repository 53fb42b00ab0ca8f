"""Tables of suite `real`: scores and fixed comparisons, memory and time, trials, and the long run of MeZO."""

from collections.abc import Callable, Mapping, Sequence

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
from benchmarks.results.run_costs import CHECKPOINTING, with_costs

RUNS, COSTS, TRIALS, LONG = "real", "real-costs", "real-grid", "real-mezo"
# The task whose memory and time the tables show.
MEASURED_ON = "sst2"
DIVERGED = (float("-inf"), float("-inf"))


def tables() -> dict[str, Callable[[RowsOf], str]]:
    """Return the tables by full name, as functions of `rows_of`, which returns the rows of a suite."""
    return {"real:overview": overview, "real:trials": trials, "real:long": long_run}


def owners(name: str) -> list[str]:
    """Return the suites whose rows a table shows.

    >>> owners("real:overview")
    ['real', 'real-costs', 'real-grid']
    """
    return {"real:overview": [RUNS, COSTS, TRIALS], "real:trials": [TRIALS], "real:long": [RUNS, LONG]}[name]


def overview(rows_of: RowsOf) -> str:
    """Return a line per method: scores, the comparison with Addax, the learning rate, memory, and time."""
    from benchmarks.suites.real import COMPARISONS

    rows, costs = rows_of(RUNS), rows_of(COSTS)
    if not rows:
        return no_rows(RUNS)
    results = Results.of(rows)
    compared = fixed.against(results.selected, COMPARISONS.reference, COMPARISONS.others)
    of_label = {line.label: line for line in compared.itertuples()}
    edges = edge_rates(rows_of(TRIALS))
    means = results.means if not costs else with_costs(results.means, costs)
    titles = {
        task: means.loc[means["task"] == task, "title"].iloc[0] for task in display_order(means, "task")
    }
    lines = []
    for label in display_order(means, "label"):
        own = means[means["label"] == label].set_index("task")
        plain = label.removesuffix(CHECKPOINTING)
        lines.append(
            {
                "method": label,
                **{title: _score(own, task) for task, title in titles.items()},
                **entries(of_label.get(plain), COMPARISONS.reference),
                "learning rate": _rate(own, plain, edges),
                "memory (GB)": _cost(own, "peak_bytes", 1e9, ".2f") if costs else NONE,
                "time of a run (min)": _cost(own, "train_seconds", 60, ".1f") if costs else NONE,
            }
        )
    return f"{pipe(pd.DataFrame(lines))}\n\n{_note(results, compared, costs)}"


def _note(results: Results, compared: pd.DataFrame, costs: Sequence[Mapping]) -> str:
    from benchmarks.suites.real import COMPARISONS

    seeds = results.selected.loc[results.selected["label"] == COMPARISONS.reference, "seed"].nunique()
    fewest, most = compared["n"].min(), compared["n"].max()
    pairs = f"{most}" if fewest == most else f"{fewest} to {most}"
    text = (
        f"Scores: mean ± standard deviation of {seeds} seeds. The differences are over all pairs of runs "
        f"with equal task and seed ({pairs}); p is from a sign-flip permutation test, Holm-corrected over "
        f"these {len(compared)} comparisons, which were fixed before the runs."
    )
    needed = pairs_needed(len(compared))
    if most < needed:
        text += f" No comparison can be significant yet: that takes {needed} pairs."
    if costs:
        text += (
            " Memory is the peak of 20 steps on SST-2, and the time of a run its number of steps times the "
            f"median time of these steps. {provenance_line(costs)}"
        )
    return text


def _score(own: pd.DataFrame, task: str) -> str:
    if task not in own.index or pd.isna(own.loc[task, "score"]):
        return NONE
    score, spread = own.loc[task, "score"], own.loc[task, "score_std"]
    return f"{100 * score:.1f}" + ("" if pd.isna(spread) else f" ± {100 * spread:.1f}")


def _rate(own: pd.DataFrame, label: str, edges: Mapping[str, str]) -> str:
    if not is_trained(label):
        return NONE
    return f"{own['lr'].iloc[0]:g}{edges.get(label, '')}"


def _cost(own: pd.DataFrame, column: str, unit: float, form: str) -> str:
    if MEASURED_ON not in own.index or pd.isna(own.loc[MEASURED_ON, column]):
        return NONE
    return f"{own.loc[MEASURED_ON, column] / unit:{form}}"


def edge_rates(rows: Sequence[Mapping]) -> dict[str, str]:
    """Return " (edge)" for each method whose best rate is the smallest or the largest that was tried."""
    found = {}
    for label, tried in _tried(rows).items():
        best = max(tried, key=lambda rate: tried[rate])
        if best in (min(tried), max(tried)):
            found[label] = " (edge)"
    return found


def _tried(rows: Sequence[Mapping]) -> dict[str, dict[float, tuple[float, float]]]:
    """Return the validation score and the negative validation loss of each rate, by method."""
    if not rows:
        return {}
    runs = Results.of(rows).runs
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for run in runs.itertuples():
        # A run that diverged has no validation score, and must not be chosen.
        score = (run.validation_score, -run.validation_loss) if run.outcome == "done" else DIVERGED
        found.setdefault(run.label, {})[setting_of(run.setting)["lr"]] = score
    return found


def trials(rows_of: RowsOf) -> str:
    """Return a line per method: the rates that were tried, with the validation score of each."""
    tried = _tried(rows_of(TRIALS))
    if not tried:
        return no_rows(TRIALS)
    edges = edge_rates(rows_of(TRIALS))
    lines = []
    for label, scores in tried.items():
        best = max(scores, key=lambda rate: scores[rate])
        texts = [f"{format_value(rate)}: {_trial(scores[rate])}" for rate in sorted(scores)]
        lines.append(
            {
                "method": label,
                "rate: validation score": "; ".join(texts),
                "chosen": f"{best:g}{edges.get(label, '')}",
            }
        )
    return f"{pipe(pd.DataFrame(lines))}\n\n{provenance_line(rows_of(TRIALS))}"


def _trial(score: tuple[float, float]) -> str:
    return "diverged" if score == DIVERGED else f"{100 * score[0]:.1f}"


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
            "steps": row["steps"],
            "forward equivalents": f"{row['forward_equivalents']:,}",
            "score (%)": f"{100 * row['score']:.1f}",
        }
        for row in (*same, *long)
    ]
    return f"{pipe(pd.DataFrame(lines))}\n\n{provenance_line(long)}"
