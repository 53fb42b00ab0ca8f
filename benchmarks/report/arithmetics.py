"""Tables of suite `rounding`: scores in each arithmetic, and comparisons of each with float32.

An arithmetic is a dtype, followed by its rounding or its evaluation if these are not the default.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import pandas as pd
from tabulate import tabulate

from benchmarks.report.fixed_table import fixed_table
from benchmarks.report.tables import NONE
from benchmarks.results import fixed
from benchmarks.results.comparable import partition_comparable
from benchmarks.results.frame import frame
from benchmarks.results.majority import LABEL
from benchmarks.results.order import display_order

FLOAT32 = "float32"
OTHERS = ("bfloat16", "float16", "bfloat16, nearest", "bfloat16, released")
COLUMNS = (FLOAT32, *OTHERS)


def dtype_table(rows: Sequence[dict]) -> str:
    """Return a Markdown table of scores in %, with a line per method and task and a column per arithmetic.

    Entries are means over seeds. float32 also has the lowest and the highest score of its seeds; other means
    are bold if they are outside this range. A note counts the means inside the range. If rows have majority
    scores, the last column shows their means.
    """
    runs = _runs(rows)
    cells: dict[tuple[str, str], dict[str, list[float]]] = {
        (label, task): {column: [] for column in COLUMNS}
        for label in display_order(runs, "label")
        for task in dict.fromkeys(runs.loc[runs["label"] == label, "title"])
    }
    for run in runs[runs["outcome"] == "done"].itertuples():
        cells[run.label, run.title][run.arithmetic].append(100 * run.score)
    majority = (100 * runs.groupby("title")["majority"].mean().dropna()).to_dict()
    lines, inside, compared = [], Counter(), Counter()
    for (label, task), cell in cells.items():
        line, float32 = {"method": label, "task": task}, cell["float32"]
        for column, scores in cell.items():
            mean = fmean(scores) if scores else None
            line[column] = NONE if mean is None else f"{mean:.1f}"
            if not float32 or not scores:
                continue
            if column == "float32":
                line[column] += f" ({min(float32):.1f} to {max(float32):.1f})"
                continue
            within = min(float32) <= mean <= max(float32)
            compared[column] += 1
            inside[column] += within
            line[column] = line[column] if within else f"**{line[column]}**"
        if majority:
            line[LABEL] = f"{majority[task]:.1f}" if task in majority else NONE
        lines.append(line)
    align = ["left", "left"] + ["right"] * (len(COLUMNS) + bool(majority))
    table = tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=align)
    counts = "; ".join(f"{column}: {inside[column]} of {count}" for column, count in compared.items())
    return f"{table}\n\nMeans within the range of the float32 seeds: {counts or 'no runs yet'}."


def compared(rows: Sequence[dict]) -> str:
    """Return a Markdown table that compares each arithmetic with float32.

    Two runs form a pair if they have the same method, task, and seeds.
    """
    runs = _runs(rows)
    runs["task"] = runs["label"] + " " + runs["task"]
    runs["label"] = runs["arithmetic"]
    return fixed_table(fixed.against(runs, FLOAT32, OTHERS), FLOAT32, "arithmetic")


def _runs(rows: Sequence[dict]) -> pd.DataFrame:
    """Return the runs with a column for their arithmetic, which is left out of their labels."""
    runs = frame(partition_comparable(rows)[0])
    runs["label"] = [
        label.split(" (")[0].removesuffix(f" {dtype}")
        for label, dtype in zip(runs["label"], runs["dtype"], strict=True)
    ]
    runs["arithmetic"] = [_arithmetic(json.loads(setting)) for setting in runs["setting"]]
    return runs


def _arithmetic(config: dict) -> str:
    """Return a run's dtype, followed by its rounding or arithmetic if it is not the default."""
    values = [config["settings"].get(key) for key in ("rounding", "arithmetic")]
    return ", ".join([config["dtype"], *(value for value in values if value in ("nearest", "released"))])


# Kind of table -> rows -> Markdown.
TABLES: dict[str, Callable[[Sequence[Mapping]], str]] = {"dtypes": dtype_table, "compared": compared}
