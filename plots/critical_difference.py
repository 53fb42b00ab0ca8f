"""Average ranks of methods over tasks; a bar joins those that no test separates (Demsar, JMLR 7, 2006).

Ranks are those of `results.ranks`; CD is the difference of two ranks that Nemenyi's test separates at 5 %.
"""

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.results.ranks import FEWEST_METHODS, Ranks, ranks
from benchmarks.results.stats import LEVEL
from plots._style import TWO_COLUMNS, looks, shown, style

SUITE = "quick"
BAR = {"linewidth": 2.5, "color": "#333333", "solid_capstyle": "butt"}
FEWEST_TASKS = 4  # with fewer a rank is of this or that task


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """One figure a model with enough methods and tasks. `data` is `benchmarks.results.frame.frame`'s."""
    with style():
        return {f"critical_difference-{model}": _figure(of, model) for model, of in _shown(data).items()}


def numbers(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What each figure of `draw` shows: average ranks, and the p-value of each pair."""
    found = {}
    for model, of in _shown(data).items():
        table = of.p.rename_axis("method").add_prefix("p against ")
        table.insert(0, "rank", of.mean)
        table["critical_difference"] = of.critical_difference
        found[f"critical_difference-{model}"] = table.sort_values("rank", kind="stable").reset_index()
    return found


def _shown(data: pd.DataFrame) -> dict[str, Ranks]:
    found = ranks(data) if len(data) else {}
    return {
        model: of
        for model, of in found.items()
        if len(of.mean) >= FEWEST_METHODS and len(of.tasks) >= FEWEST_TASKS
    }


def _figure(found: Ranks, model: str) -> Figure:
    from scikit_posthocs import critical_difference_diagram

    count = len(found.mean)
    figure = Figure(figsize=(TWO_COLUMNS, 1.3 + 0.13 * count), layout="constrained")
    axes = figure.subplots()
    look = looks(list(found.mean.index))
    axes.grid(False)
    # Long names in the space beside the ranks, not over them.
    axes.set_xlim(0.2 - 0.25 * count, 1.25 * count + 0.8)
    critical_difference_diagram(
        found.mean,
        found.p,
        alpha=LEVEL,
        ax=axes,
        color_palette={label: one.color for label, one in look.items()},
        label_fmt_left="{label} ({rank:.2f}) ",
        label_fmt_right=" ({rank:.2f}) {label}",
        text_h_margin=0.08 * count,
        label_props={"fontsize": 7.5},
        crossbar_props=BAR,
    )
    # The library would draw CD over the numbers of the ranks.
    axes.plot([1, 1 + found.critical_difference], [2.2, 2.2], **BAR)
    axes.text(1 + found.critical_difference, 2.2, f"  CD = {found.critical_difference:.2f}", va="center")
    axes.set_xticks(range(1, count + 1))
    axes.spines["top"].set(visible=True, bounds=(1, count))
    p = found.friedman_p
    said = f"Friedman p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    if p >= LEVEL:
        said += ": ranks are not told apart, and no pair is tested"
    axes.set_xlabel("average rank")
    axes.set_title(f"average rank over {len(found.tasks)} tasks, {shown(model)} (1 is best); {said}")
    return figure
