"""The tables of the study of step speed."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from benchmarks.studies import _host_time
from benchmarks.studies._speed import KEY
from benchmarks.studies._step_costs import OUT_OF_MEMORY

# Rows that agree in these fields were measured together.
TOGETHER = (*KEY, "part", "fo_batch_size", "fo_length")
COSTS = (
    "time (s)",
    "overhead (s)",
    "relative to bare",
    "relative to released",
    "draws of z",
    "passes over theta",
    "extra memory (MB)",
)
Row = Mapping[str, Any]


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of the costs of each step and, if it was measured, one of the host time.

    Overhead is the time beyond the bare evaluations. Extra memory is the peak memory beyond that of the bare
    evaluations, without the state that an optimizer keeps between steps.
    """
    host = [row for row in rows if row.get("part") == _host_time.PART]
    steps = [row for row in rows if row.get("part") != _host_time.PART]
    tables = [_steps(steps)] if steps else []
    return "\n\n".join([*tables, *([_host_time.table(host)] if host else [])])


def together(rows: Sequence[Row], row: Row) -> list[Row]:
    """Return the rows that were measured together with a row, the bare evaluations first."""
    return [r for r in rows if all(r.get(name) == row.get(name) for name in TOGETHER)]


def _steps(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        setting = {
            "model": f"{row['shape']} {row['dtype']}",
            "part": row["part"],
            "step": row["way"],
            "batch": _batch(row),
        }
        costs = _costs(row, together(rows, row)) if row["seconds"] else {"time (s)": OUT_OF_MEMORY}
        lines.append(setting | dict.fromkeys(COSTS, "") | costs)
    align = [*["left"] * 4, *["right"] * len(COSTS)]
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=align)


def _costs(row: Row, same: Sequence[Row]) -> dict[str, str]:
    cells = {
        "time (s)": f"{row['seconds']:.3f}",
        "draws of z": _number(row.get("draws"), ".2f"),
        "passes over theta": _number(row.get("passes"), ".2f"),
    }
    # Whole training steps have no bare version.
    key = "beyond_seconds" if "beyond_seconds" in row else "seconds"
    bare = same[0] if key == "beyond_seconds" else None
    if row is bare:
        return cells
    released = next((r.get(key) for r in same if r["way"] == "released" and r is not row), None)
    if released and row[key] is not None:
        cells["relative to released"] = f"{row[key] / released:.2f}"
    if bare and bare["seconds"]:
        cells["overhead (s)"] = f"{row['beyond_seconds']:.3f}"
        cells["relative to bare"] = _number(row.get("bare_ratio"), ".2f")
        cells["extra memory (MB)"] = f"{(row['peak_bytes'] - bare['peak_bytes']) / 1e6:.0f}"
    return cells


def _batch(row: Row) -> str:
    """Return the size of the batches, as in "6 x 400; 4 x 170" for the two batches of Addax."""
    sizes = [(row["batch_size"], row.get("length"))]
    if row.get("fo_batch_size") is not None:
        sizes.append((row["fo_batch_size"], row["fo_length"]))
    return "; ".join(" x ".join(str(n) for n in size if n is not None) for size in dict.fromkeys(sizes))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
