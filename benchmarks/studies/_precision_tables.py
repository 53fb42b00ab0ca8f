"""Table on 16-bit arithmetic: drift, and realized fraction of a step."""

from collections.abc import Sequence

from tabulate import tabulate

SHOWN_SIZES = (1e-7, 1e-6, 1e-5, 1e-4)


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
