"""Average ranks of methods over tasks; a bar joins those that no test separates (Demsar, JMLR 7, 2006).

Ranks are those of `results.ranks`; CD is the difference of two ranks that Nemenyi's test separates at 5 %.
"""

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from benchmarks.results.ranks import MIN_METHODS, Ranks, ranks
from benchmarks.results.stats import LEVEL
from plots._style import PAGE, Page, format_model, styles

SUITE = "quick"
SIDE = 1.65  # inches for the names on either side, at the default size of text
BAR = {"linewidth": 2.5, "color": "#333333", "solid_capstyle": "butt"}
MIN_TASKS = 4  # with fewer, a rank depends on single tasks


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each model with enough methods and tasks."""
    return {
        f"critical_difference-{model}": _figure(found, model, page)
        for model, found in _ranked(results).items()
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return what each figure of `draw` shows: average ranks, and the p-value of each pair."""
    found = {}
    for model, of in _ranked(results).items():
        table = of.p.rename_axis("method").add_prefix("p against ")
        table.insert(0, "rank", of.mean)
        table["critical_difference"] = of.critical_difference
        found[f"critical_difference-{model}"] = table.sort_values("rank", kind="stable").reset_index()
    return found


def _ranked(results: Results) -> dict[str, Ranks]:
    return {
        model: of
        for model, of in ranks(results.selected).items()
        if len(of.mean) >= MIN_METHODS and len(of.tasks) >= MIN_TASKS
    }


def _figure(found: Ranks, model: str, page: Page) -> Figure:
    from scikit_posthocs import critical_difference_diagram

    count = len(found.mean)
    figure = page.figure(3, 1.3 + 0.13 * count)
    axes = figure.subplots()
    look = styles(list(found.mean.index))
    axes.grid(False)
    # Long names go into the space beside the ranks, not over them.
    width = figure.get_figwidth()
    side = min(SIDE * page.scale, 0.36 * width)
    margin = (count - 1) * side / (width - 2 * side)
    axes.set_xlim(1 - margin, count + margin)
    drawn = critical_difference_diagram(
        found.mean,
        found.p,
        alpha=LEVEL,
        ax=axes,
        color_palette={label: one.color for label, one in look.items()},
        label_fmt_left="{label} ({rank:.2f}) ",
        label_fmt_right=" ({rank:.2f}) {label}",
        text_h_margin=0.2 * margin,
        label_props={"fontsize": page.font_size},
        crossbar_props=BAR,
    )
    # The library joins the ranks of a bar in the order of a set, which differs between processes.
    for (bar,) in drawn["crossbars"]:
        ranked = sorted(bar.get_xdata())
        bar.set_data([ranked[0], ranked[-1]], bar.get_ydata()[:2])
    # The library would draw CD over the numbers of the ranks.
    axes.plot([1, 1 + found.critical_difference], [2.2, 2.2], **BAR)
    axes.text(1 + found.critical_difference, 2.2, f"  CD = {found.critical_difference:.2f}", va="center")
    axes.set_xticks(range(1, count + 1))
    axes.spines["top"].set(visible=True, bounds=(1, count))
    p = found.friedman_p
    said = f"Friedman p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    if p >= LEVEL:
        said += ": the ranks do not differ, and no pair is tested"
    axes.set_xlabel("average rank")
    axes.set_title(f"average rank over {len(found.tasks)} tasks, {format_model(model)} (1 is best); {said}")
    return figure
