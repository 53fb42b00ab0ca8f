"""Tables on 16-bit arithmetic: drift, realized fraction of a step, and scores of the suite `rounding`."""

import json
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from tabulate import tabulate

from benchmarks.report.tables import NONE
from benchmarks.results.comparable import partition_comparable
from benchmarks.results.frame import frame
from benchmarks.results.order import display_order

SHOWN_SIZES = (1e-7, 1e-6, 1e-5, 1e-4)
COLUMNS = ("float32", "bfloat16", "float16", "bfloat16, nearest", "bfloat16, released")


def precision_table(rows: Sequence[dict]) -> str:
    """Return a Markdown table of the drift after the largest number of steps, and of realized fractions.

    A fraction is a mean over directions. Its standard error is added if it is at least 0.05 %.
    """
    drifts = [row for row in rows if row["measure"] == "drift"]
    longest = max(row["steps"] for row in drifts)
    drift = {
        (row["weights"], row["dtype"], row["arithmetic"]): row["drift"]
        for row in drifts
        if row["steps"] == longest
    }
    lines: dict[tuple, dict] = {}
    for row in rows:
        if row["measure"] != "fraction":
            continue
        key = (row["weights"], row["dtype"], row["arithmetic"])
        rounding = f", {row['rounding']}" if row["rounding"] else ""
        line = lines.setdefault(
            (*key, rounding),
            {
                "weights": row["weights"],
                "dtype": row["dtype"],
                "arithmetic": row["arithmetic"] + rounding,
                f"drift after {longest:,} steps": f"{100 * drift[key]:.2g} %",
            },
        )
        if row["size"] in SHOWN_SIZES:
            error = 100 * row["standard_error"]
            entry = f"{100 * row['fraction']:.1f}" + (f" ± {error:.1f}" if error >= 0.05 else "")
            line[f"c = {row['size']:.0e}"] = f"{entry} %"
    align = ["left"] * 3 + ["right"] * (1 + len(SHOWN_SIZES))
    return tabulate(list(lines.values()), "keys", "pipe", disable_numparse=True, colalign=align)


def dtype_table(rows: Sequence[dict]) -> str:
    """Return a Markdown table of scores in %, with a line per method and task and a column per arithmetic.

    Entries are means over seeds. float32 also has the lowest and the highest score of its seeds; other means
    are bold if they are outside this range. A note counts the means inside the range.
    """
    runs = frame(partition_comparable(rows)[0])
    # Remove the arithmetic and the dtype from the labels, because they become columns.
    runs["label"] = [
        label.split(" (")[0].removesuffix(f" {d}")
        for label, d in zip(runs["label"], runs["dtype"], strict=True)
    ]
    cells: dict[tuple[str, str], dict[str, list[float]]] = {
        (label, task): {column: [] for column in COLUMNS}
        for label in display_order(runs, "label")
        for task in dict.fromkeys(runs.loc[runs["label"] == label, "title"])
    }
    for run in runs[runs["outcome"] == "done"].itertuples():
        cells[run.label, run.title][_arithmetic(json.loads(run.setting))].append(100 * run.score)
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
        lines.append(line)
    align = ["left", "left"] + ["right"] * len(COLUMNS)
    table = tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=align)
    counts = "; ".join(f"{column}: {inside[column]} of {count}" for column, count in compared.items())
    return f"{table}\n\nMeans within the range of the float32 seeds: {counts or 'no runs yet'}."


def _arithmetic(config: dict) -> str:
    """Return a run's dtype, followed by its rounding or arithmetic if it is not the default."""
    values = [config["settings"].get(key) for key in ("rounding", "arithmetic")]
    return ", ".join([config["dtype"], *(value for value in values if value in ("nearest", "released"))])
