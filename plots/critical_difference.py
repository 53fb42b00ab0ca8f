"""Average ranks of methods over tasks; bars join methods without a significant difference.

The ranks come from `benchmarks.results.ranks`. CD is the critical difference: two average ranks that differ
by more are significantly different at the 5 % level (Nemenyi's test). Source: Demsar, JMLR 7 (2006).
"""

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from benchmarks.results.ranks import MIN_METHODS, Ranks, ranks
from benchmarks.results.stats import LEVEL
from plots._style import PAGE, Page, format_model, styles

SUITE = "quick"
SIDE = 1.65  # inches for the names on either side, at the default font size
BAR = {"linewidth": 2.5, "color": "#333333", "solid_capstyle": "butt"}
MIN_TASKS = 4  # with fewer tasks, a single task dominates an average rank


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure per model that has enough methods and tasks."""
    return {
        f"critical_difference-{model}": _figure(ranking, model, page)
        for model, ranking in _ranked(results).items()
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`: average ranks, and the p-value of each pair."""
    tables = {}
    for model, ranking in _ranked(results).items():
        table = ranking.p.rename_axis("method").add_prefix("p against ")
        table.insert(0, "rank", ranking.mean)
        table["critical_difference"] = ranking.critical_difference
        tables[f"critical_difference-{model}"] = table.sort_values("rank", kind="stable").reset_index()
    return tables


def _ranked(results: Results) -> dict[str, Ranks]:
    return {
        model: ranking
        for model, ranking in ranks(results.selected).items()
        if len(ranking.mean) >= MIN_METHODS and len(ranking.tasks) >= MIN_TASKS
    }


def _figure(ranking: Ranks, model: str, page: Page) -> Figure:
    from scikit_posthocs import critical_difference_diagram

    count = len(ranking.mean)
    figure = page.figure(3, 1.3 + 0.13 * count)
    axes = figure.subplots()
    style_of = styles(list(ranking.mean.index))
    axes.grid(False)
    # Leave space on both sides for long names, so that they do not cover the ranks.
    width = figure.get_figwidth()
    side = min(SIDE * page.scale, 0.36 * width)
    margin = (count - 1) * side / (width - 2 * side)
    axes.set_xlim(1 - margin, count + margin)
    artists = critical_difference_diagram(
        ranking.mean,
        ranking.p,
        alpha=LEVEL,
        ax=axes,
        color_palette={label: style.color for label, style in style_of.items()},
        label_fmt_left="{label} ({rank:.2f}) ",
        label_fmt_right=" ({rank:.2f}) {label}",
        text_h_margin=0.2 * margin,
        label_props={"fontsize": page.font_size},
        crossbar_props=BAR,
    )
    # The library orders the points of a bar by a set, which differs between processes.
    for (bar,) in artists["crossbars"]:
        positions = sorted(bar.get_xdata())
        bar.set_data([positions[0], positions[-1]], bar.get_ydata()[:2])
    # The library would draw the critical difference over the tick labels, so it is drawn here.
    axes.plot([1, 1 + ranking.critical_difference], [2.2, 2.2], **BAR)
    axes.text(1 + ranking.critical_difference, 2.2, f"  CD = {ranking.critical_difference:.2f}", va="center")
    axes.set_xticks(range(1, count + 1))
    axes.spines["top"].set(visible=True, bounds=(1, count))
    p = ranking.friedman_p
    test = f"Friedman p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    if p >= LEVEL:
        test += ": not significant, so pairs are not tested"
    axes.set_xlabel("average rank")
    axes.set_title(f"average rank over {len(ranking.tasks)} tasks, {format_model(model)} (1 is best); {test}")
    return figure
