"""Tables of `benchmarks.studies.speed`'s rows as Markdown."""

from collections.abc import Sequence

from tabulate import tabulate


def table(rows: Sequence[dict]) -> str:
    """One table of rows of one benchmark; which one is told by their fields."""
    return _scoring(rows) if "loss_difference" in rows[0] else _step(rows)


def _scoring(rows: Sequence[dict]) -> str:
    """Seconds of both ways, their ratio, how losses differ."""
    lines = [
        {
            "task": row["task_title"],
            "part": row["part"],
            "ours (s)": f"{row['seconds']:.3f}",
            "released (s)": f"{row['released_seconds']:.3f}",
            "ratio": f"{row['ratio']:.2f}x",
            "largest loss difference": f"{row['loss_difference']:.1e}",
        }
        for row in rows
    ]
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=["left", "left", *["right"] * 4])


def _step(rows: Sequence[dict]) -> str:
    """Seconds, and those beyond the bare evaluations, against the released way's where there is one.

    Scratch is the peak of what a step makes, beyond that of the bare evaluations; what an optimizer keeps
    between steps is not counted.
    """
    lines = []
    for row in rows:
        same = [r for r in rows if r["part"] == row["part"] and r["shape"] == row["shape"]]
        same = [r for r in same if r["dtype"] == row["dtype"] and r["hardware"] == row["hardware"]]
        released = next((r for r in same if r["way"] == "released"), None)
        beyond = row.get("beyond_seconds")
        bare = row is same[0] and beyond is not None
        against = None
        if released is not None and not bare and row is not released:
            key = "seconds" if beyond is None else "beyond_seconds"
            against = row[key] / released[key]
        lines.append(
            {
                "model": f"{row['shape']} {row['dtype']}",
                "part": row["part"],
                "way": row["way"],
                "step (s)": f"{row['seconds']:.3f}",
                "beyond bare (s)": "" if bare or beyond is None else f"{beyond:.3f}",
                "of released": "" if against is None else f"{against:.2f}",
                "draws of z": _number(row.get("draws"), ".2f"),
                "passes over theta": _number(row.get("passes"), ".2f"),
                "scratch beyond bare (MB)": _number(
                    None if bare or beyond is None else (row["peak_bytes"] - same[0]["peak_bytes"]) / 1e6,
                    ".0f",
                ),
            }
        )
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=[*["left"] * 3, *["right"] * 6])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
