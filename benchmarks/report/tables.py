"""Result tables as text: units, decimals, bold entries, and the layout of Markdown and LaTeX."""

import re
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from tabulate import tabulate

from benchmarks.config.names import is_trained
from benchmarks.results import majority
from benchmarks.results.order import display_order, score_name, score_unit, task_heading
from benchmarks.results.paired import ALL

# (model, task) -> the label whose entry is bold.
Winners = Mapping[tuple[str, str], str]
NONE = "–"
# File stem -> column of the means, and heading of the table.
MEASURES = {
    "score": ("score", "{score} on test data ({unit})"),
    "score-long": ("score_long", "{score} on long test rows ({unit})"),
    "score-short": ("score_short", "{score} on short test rows ({unit})"),
    "memory": ("peak_bytes", "Peak training memory ({unit})"),
    "time": ("seconds", "Training time to the selected checkpoint ({unit})"),
}


def unit_of(column: str, means: pd.DataFrame) -> tuple[float, str, int]:
    """Return the divisor of entries, the name of the unit, and the number of decimals.

    Memory is in decimal units, like the advertised memory of GPUs.
    """
    least, most = means[column].min(), means[column].max()
    if column in majority.BESIDE:
        return 0.01, score_unit(means), 1
    if column == "peak_bytes":
        # Enough decimals to show two digits of the smallest entry, even if the largest is 50 times as large.
        return (1e9, "GB", 1 if least >= 1e9 else 2 if least >= 1e8 else 3) if most >= 1e9 else (1e6, "MB", 1)
    return (3600, "h", 2) if most >= 7200 else (60, "min", 1) if most >= 600 else (1, "s", 1)


def head_of(name: str, means: pd.DataFrame) -> str:
    """Return the heading of a table of `MEASURES`."""
    column, title = MEASURES[name]
    name = score_name(means)
    return title.format(unit=unit_of(column, means)[1], score=name[0].upper() + name[1:])


def _seeds(block: pd.DataFrame) -> int:
    """Return the most common number of seeds in a block, ignoring zero-shot, which has no seed."""
    trained = block[block["label"].map(is_trained).astype(bool) & (block["outcome"] == "done")]
    return int(trained["n"].mode().max()) if len(trained) else 1


def _has(entry, column: str) -> bool:
    """Return whether an entry has a number; zero-shot has no training time."""
    return not pd.isna(getattr(entry, column)) and (column != "seconds" or is_trained(entry.label))


def block_of(
    block: pd.DataFrame,
    column: str,
    scale_of: pd.DataFrame | None = None,
    spread: str = "",
    bold: str = "{}",
    winners: Winners = MappingProxyType({}),
) -> pd.DataFrame:
    """Return one model's entries as text: a line per method, a column per task, and a column of means.

    A table of scores begins with a line of the majority scores, if the rows have them.
    The mean is over the tasks of the block, and missing if a method lacks one of them. A score is bold if its
    method is a winner there, see `benchmarks.results.paired.winners`.
    """
    scale, _, digits = unit_of(column, block if scale_of is None else scale_of)
    usual, tasks = _seeds(block), display_order(block, "task")
    model = block["model"].iloc[0]
    best = {(label, task) for (of, task), label in winners.items() if of == model and column == "score"}
    titles = headings(block)
    entries = {(e.label, e.task): e for e in block.itertuples()}
    table = _majority_lines(block, column, {task: titles[task] for task in tasks})
    for label in display_order(block, "label"):
        line, values = {"method": label}, []
        for task in tasks:
            e = entries.get((label, task))
            text, value = NONE, float("nan")
            if e is not None and e.outcome != "done":
                text = e.outcome
            elif e is not None and _has(e, column):
                value, deviation = getattr(e, column) / scale, getattr(e, f"{column}_std") / scale
                text = f"{value:.{digits}f}"
                text += f"{spread}{deviation:.{digits}f}" if spread and not pd.isna(deviation) else ""
                text = bold.format(text) if (label, task) in best else text
                text += f" (n={e.n})" if spread and e.n != usual and is_trained(label) else ""
            line[titles[task]] = text
            values.append(value)
        known = len(values) > 1 and not pd.isna(values).any()
        line["mean"] = f"{sum(values) / len(values):.{digits}f}" if known else NONE
        line["mean"] = bold.format(line["mean"]) if known and (label, ALL) in best else line["mean"]
        table.append(line)
    return pd.DataFrame(table)


def headings(block: pd.DataFrame) -> dict[str, str]:
    """Return the heading of each task's column in a model's block."""
    first = block.drop_duplicates("task")
    return {line.task: task_heading(line.title, line.metric) for line in first.itertuples()}


def _majority_lines(block: pd.DataFrame, column: str, titles: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the line of the majority scores on the rows that a column is about; none without such scores."""
    if column not in majority.BESIDE or not (scores := majority.by_task(block, column)):
        return []
    values = {title: 100 * scores.get(task, float("nan")) for task, title in titles.items()}
    values["mean"] = sum(values.values()) / len(values) if len(values) > 1 else float("nan")
    texts = {title: NONE if pd.isna(value) else f"{value:.1f}" for title, value in values.items()}
    return [{"method": majority.LABEL, **texts}]


def markdown(means: pd.DataFrame, column: str, winners: Winners = MappingProxyType({})) -> str:
    parts = []
    for model in display_order(means, "model"):
        block = means[means["model"] == model]
        cells = block_of(block, column, means, spread=" ± ", bold="**{}**", winners=winners)
        align = ["left"] + ["right"] * (cells.shape[1] - 1)
        parts += [
            f"**{model}** ({seeds_of(block)})",
            tabulate(cells, "keys", "pipe", showindex=False, disable_numparse=True, colalign=align),
        ]
    return "\n\n".join(parts)


def pipe(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown."""
    return tabulate(table, headers="keys", tablefmt="pipe", showindex=False, disable_numparse=True)


def seeds_of(block: pd.DataFrame) -> str:
    """Describe the entries of a model's block: a single seed, or a mean over several."""
    seeds = _seeds(block)
    return "1 seed" if seeds == 1 else f"mean ± standard deviation of {seeds} seeds"


def latex(means: pd.DataFrame, column: str, winners: Winners = MappingProxyType({})) -> str:
    # A task may have another metric, and so another heading, for another model.
    of_models = [headings(means[means["model"] == model]) for model in display_order(means, "model")]
    order = display_order(means, "task")
    tasks = list(dict.fromkeys(of[task] for task in order for of in of_models if task in of))
    lines = [r"\begin{tabular}{l" + "r" * (len(tasks) + 1) + "}", r"\toprule"]
    lines.append(" & ".join(["method", *map(_escape, tasks), "mean"]) + r" \\")
    for model in display_order(means, "model"):
        block = means[means["model"] == model]
        cells = block_of(block, column, means, spread=r" $\pm$ ", bold=r"\textbf{{{}}}", winners=winners)
        cells = cells.reindex(columns=["method", *tasks, "mean"], fill_value=NONE)
        heading = _escape(f"{model} ({seeds_of(block)})").replace("±", r"$\pm$")
        lines += [r"\midrule", rf"\multicolumn{{{len(tasks) + 2}}}{{l}}{{\textit{{{heading}}}}} \\"]
        for method, *entries in cells.itertuples(index=False):
            lines.append(" & ".join([_escape(method), *(e.replace(NONE, "--") for e in entries)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


def _escape(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def comment(note: str) -> str:
    return f"% {note}\n"


def long_table(means: pd.DataFrame) -> pd.DataFrame:
    (memory, unit, fine), (time, clock, decimals) = unit_of("peak_bytes", means), unit_of("seconds", means)

    def column(name: str, form: str, scale: float = 1) -> list[str]:
        return [
            (f"{v / scale:{form}}" + (f" ± {s / scale:{form}}" if n > 1 else "")) if not pd.isna(v) else NONE
            for v, s, n in zip(means[name], means[f"{name}_std"], means["n"], strict=True)
        ]

    trained = means["label"].map(is_trained).astype(bool)
    scores, unit_of_scores = column("score", ".1f", 0.01), score_unit(means)
    tasks = [task_heading(*pair) for pair in zip(means["title"], means["metric"], strict=True)]
    table = {
        "model": means["model"],
        "task": tasks,
        "method": means["label"],
        f"score ({unit_of_scores})": [
            s if o == "done" else o for s, o in zip(scores, means["outcome"], strict=True)
        ],
        majority.LABEL: column("majority", ".1f", 0.01),
        "AUC": column("auc", ".3f"),
        "loss": column("loss", ".3f"),
        "lr": [f"{v:g}" if t and not pd.isna(v) else NONE for v, t in zip(means["lr"], trained, strict=True)],
        "steps": [
            f"{v:g}" if t and not pd.isna(v) else NONE for v, t in zip(means["steps"], trained, strict=True)
        ],
        f"time ({clock})": [
            v if t else NONE for v, t in zip(column("seconds", f".{decimals}f", time), trained, strict=True)
        ],
        f"memory ({unit})": column("peak_bytes", f".{fine}f", memory),
        "n": means["n"].astype(str),
    }
    constant = [name for name in ("model", "task") if means[name].nunique() == 1]
    constant += ["n"] if means["n"].max() == 1 else []
    constant += [majority.LABEL] if means["majority"].isna().all() else []
    return pd.DataFrame(table).drop(columns=constant)
