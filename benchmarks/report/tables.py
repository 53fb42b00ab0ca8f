"""Result tables as text: units, decimals, bold entries, and the layout of Markdown and LaTeX."""

import re
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from tabulate import tabulate

from benchmarks.config.names import ZERO_SHOT
from benchmarks.results.order import display_order, score_name
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
    if column.startswith("score"):
        return 0.01, "%", 1
    if column == "peak_bytes":
        # Enough decimals to show two digits of the smallest entry, even if the largest is 50 times as large.
        return (1e9, "GB", 1 if least >= 1e9 else 2 if least >= 1e8 else 3) if most >= 1e9 else (1e6, "MB", 1)
    return (3600, "h", 2) if most >= 7200 else (60, "min", 1) if most >= 600 else (1, "s", 1)


def head_of(name: str, means: pd.DataFrame) -> str:
    """Return the heading of a table of `MEASURES`."""
    column, title = MEASURES[name]
    return title.format(unit=unit_of(column, means)[1], score=score_name(means, "Accuracy"))


def _seeds(block: pd.DataFrame) -> int:
    """Return the most common number of seeds in a block, ignoring zero-shot, which has no seed."""
    trained = block[(block["label"] != ZERO_SHOT) & (block["outcome"] == "done")]
    return int(trained["n"].mode().max()) if len(trained) else 1


def _has(entry, column: str) -> bool:
    """Return whether an entry has a number; zero-shot has no training time."""
    return not pd.isna(getattr(entry, column)) and not (column == "seconds" and entry.label == ZERO_SHOT)


def block_of(
    block: pd.DataFrame,
    column: str,
    scale_of: pd.DataFrame | None = None,
    spread: str = "",
    bold: str = "{}",
    winners: Winners = MappingProxyType({}),
) -> pd.DataFrame:
    """Return one model's entries as text: a line per method, a column per task, and a column of means.

    The mean is over the tasks of the block, and missing if a method lacks one of them. A score is bold if its
    method is a winner there, see `benchmarks.results.paired.winners`.
    """
    scale, _, digits = unit_of(column, block if scale_of is None else scale_of)
    usual, tasks = _seeds(block), display_order(block, "task")
    model = block["model"].iloc[0]
    best = {(label, task) for (of, task), label in winners.items() if of == model and column == "score"}
    titles = block.drop_duplicates("task").set_index("task")["title"]
    entries = {(e.label, e.task): e for e in block.itertuples()}
    table = []
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
                text += f" (n={e.n})" if spread and e.n != usual and label != ZERO_SHOT else ""
            line[titles[task]] = text
            values.append(value)
        known = len(values) > 1 and not pd.isna(values).any()
        line["mean"] = f"{sum(values) / len(values):.{digits}f}" if known else NONE
        line["mean"] = bold.format(line["mean"]) if known and (label, ALL) in best else line["mean"]
        table.append(line)
    return pd.DataFrame(table)


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
    tasks = [means.loc[means["task"] == task, "title"].iloc[0] for task in display_order(means, "task")]
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

    trained = means["label"] != ZERO_SHOT
    scores = column("score", ".1f", 0.01)
    table = {
        "model": means["model"],
        "task": means["title"],
        "method": means["label"],
        "score (%)": [s if o == "done" else o for s, o in zip(scores, means["outcome"], strict=True)],
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
    return pd.DataFrame(table).drop(columns=constant)
