"""Tables of what 16 bits do: drift and what arrives of a step, and where runs of `rounding` end."""

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
    """Markdown: drift after the most steps, and realized fractions.

    A fraction is a mean over directions, ± its standard error from 0.05 % on.
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
        place = (row["weights"], row["dtype"], row["arithmetic"])
        rounding = f", {row['rounding']}" if row["rounding"] else ""
        line = lines.setdefault(
            (*place, rounding),
            {
                "weights": row["weights"],
                "dtype": row["dtype"],
                "arithmetic": row["arithmetic"] + rounding,
                f"drift after {longest:,} steps": f"{100 * drift[place]:.2g} %",
            },
        )
        if row["size"] in SHOWN_SIZES:
            error = 100 * row["standard_error"]
            entry = f"{100 * row['fraction']:.1f}" + (f" ± {error:.1f}" if error >= 0.05 else "")
            line[f"c = {row['size']:.0e}"] = f"{entry} %"
    align = ["left"] * 3 + ["right"] * (1 + len(SHOWN_SIZES))
    return tabulate(list(lines.values()), "keys", "pipe", disable_numparse=True, colalign=align)


def dtype_table(rows: Sequence[dict]) -> str:
    """Markdown of runs in several dtypes: scores in %, a line a method and task, a column an arithmetic.

    float32 has the mean, the lowest and the highest of its seeds; every other entry is a mean over seeds, in
    bold where it lies outside of float32's seeds. A last line counts those inside.
    """
    runs = frame(partition_comparable(rows)[0])
    # Without what tells the runs of one method apart here: its arithmetic, and the frame's own dtype.
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
        line, wide = {"method": label, "task": task}, cell["float32"]
        for column, scores in cell.items():
            mean = fmean(scores) if scores else None
            line[column] = NONE if mean is None else f"{mean:.1f}"
            if not wide or not scores:
                continue
            if column == "float32":
                line[column] += f" ({min(wide):.1f} to {max(wide):.1f})"
                continue
            within = min(wide) <= mean <= max(wide)
            compared[column] += 1
            inside[column] += within
            line[column] = line[column] if within else f"**{line[column]}**"
        lines.append(line)
    align = ["left", "left"] + ["right"] * len(COLUMNS)
    table = tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=align)
    told = "; ".join(f"{column}: {inside[column]} of {count}" for column, count in compared.items())
    return f"{table}\n\nMeans between float32's lowest and highest seed: {told or 'none yet'}."


def _arithmetic(config: dict) -> str:
    """A run's dtype, and its rounding or arithmetic where it is not the default."""
    ways = [config["settings"].get(key) for key in ("rounding", "arithmetic")]
    return ", ".join([config["dtype"], *(way for way in ways if way in ("nearest", "released"))])
