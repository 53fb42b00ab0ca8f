"""Heat maps of scores over settings: alpha x K0, lr x alpha, and L_T, eps, and the seed around one setting.

The upper row shows validation scores, the lower row test scores. A frame marks the setting with the best mean
validation score, which model selection would pick. The title states the majority scores.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.config.names import ZERO_SHOT
from benchmarks.results.frame import Results, setting_of
from benchmarks.results.majority import BESIDE, LABEL
from benchmarks.results.order import display_order, format_value, value_order
from plots._scores import axis_label
from plots._style import PAGE, TWO_COLUMNS, Page, format_model, small

SUITE = "sensitivity"
# PAIRS are drawn against each other, and each setting in ALONE is drawn against the seed.
PAIRS = (("alpha", "zo_batch_size"), ("lr", "alpha"))
ALONE = ("length_threshold", "eps")
NAMES = {
    "alpha": r"$\alpha$", "zo_batch_size": "$K_0$", "lr": "learning rate", "eps": r"$\epsilon$",
    "seed": "seed", "length_threshold": "$L_T$ (tokens or quantile)",
}  # fmt: skip
SCORES = {"validation_score": "validation", "score": "test"}
MIN_VALUES = 3  # minimum number of values of a setting for a map
MIN_FILLED = 0.75  # minimum share of a grid's cells that have a score
MAP = "cividis"  # perceptually uniform, also for readers with color-vision deficiencies
CELL_WIDTH = 3  # width of a cell, in multiples of the font size
AROUND, SCALE = 2.5, 3  # width of a panel's margins and of the color bar, in cells


class Panel(NamedTuple):
    """A heat map: two settings with their sorted values, and arrays of mean validation and test scores."""

    down: str
    across: str
    rows: list
    columns: list
    scores: dict[str, np.ndarray]


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each model, task, and method with a sweep."""
    return {stem: _figure(panels, runs, page) for stem, runs, panels in _swept_methods(results.runs)}


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`: one line per cell of each map."""
    return {stem: pd.DataFrame(_cells(panels)) for stem, _, panels in _swept_methods(results.runs)}


def _cells(panels: list[Panel]) -> Iterator[dict]:
    for panel in panels:
        for (i, row), (j, column) in product(enumerate(panel.rows), enumerate(panel.columns)):
            yield {
                "down": panel.down, "down_value": row, "across": panel.across, "across_value": column,
                **{name: grid[i, j] for name, grid in panel.scores.items()},
            }  # fmt: skip


def _swept_methods(data: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, list[Panel]]]:
    """Yield the file stem, runs, and maps of each figure."""
    done = data[(data["outcome"] == "done") & (data["label"] != ZERO_SHOT)]
    for model in display_order(done, "model"):
        for task in display_order(done, "task"):
            subset = done[(done["model"] == model) & (done["task"] == task)]
            for method in sorted(subset["method"].unique()):
                runs = subset[subset["method"] == method]
                if panels := _panels(runs):
                    yield f"sensitivity-{model}-{task}-{method}", runs, panels


def _panels(runs: pd.DataFrame) -> list[Panel]:
    """Return a map for each swept pair or setting, and a map of seeds if a setting has enough of them."""
    if runs["setting"].nunique() < MIN_VALUES:
        return []
    runs = runs.assign(settings=[setting_of(text) for text in runs["setting"]])
    panels = list(_setting_panels(runs))
    seeds = max((group for _, group in runs.groupby("setting")), key=lambda group: group["seed"].nunique())
    if panels and seeds["seed"].nunique() >= MIN_VALUES:
        panels.append(_grid(seeds, "", "seed"))
    return panels


def _setting_panels(runs: pd.DataFrame) -> Iterator[Panel]:
    for down, across in PAIRS:
        swept = _swept(runs, (down, across))
        panel = _grid(swept, down, across) if len(swept) else None
        if panel and _is_grid(panel):
            yield panel
    for name in ALONE:
        swept = _swept(runs, (name,))
        panel = _grid(swept, "seed", name) if len(swept) else None
        if panel and len(panel.columns) >= MIN_VALUES:
            yield panel


def _is_grid(panel: Panel) -> bool:
    """Return whether both settings were swept together in a grid, of which a few runs may have failed."""
    sizes = sorted((len(panel.rows), len(panel.columns)))
    filled = 1 - np.isnan(panel.scores["score"]).mean()
    return sizes[0] > 1 and sizes[1] >= MIN_VALUES and filled >= MIN_FILLED


def _swept(runs: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the largest group of runs that differ only in these settings (and seeds)."""
    rest = [
        json.dumps({k: v for k, v in settings.items() if k not in names}, sort_keys=True)
        for settings in runs["settings"]
    ]
    groups = [group for _, group in runs.groupby(rest)]
    return max(groups, key=lambda group: (group["setting"].nunique(), len(group)))


def _grid(runs: pd.DataFrame, down: str, across: str) -> Panel:
    """Return a map of mean scores. All cells average over the same seeds: those with the most settings."""
    if across != "seed":
        counts = runs.groupby("seed")["setting"].nunique()
        runs = runs[runs["seed"].isin(counts.index[counts == counts.max()])]
    values = {name: [_value(line, name) for line in runs.itertuples()] for name in (down, across)}
    rows, columns = (_distinct(values[name]) for name in (down, across))
    cells = [(rows.index(a), columns.index(b)) for a, b in zip(values[down], values[across], strict=True)]
    scores = {name: np.full((len(rows), len(columns)), np.nan) for name in SCORES}
    for cell in set(cells):
        subset = runs[[other == cell for other in cells]]
        for name, grid in scores.items():
            grid[cell] = subset[name].mean()
    return Panel(down, across, rows, columns, scores)


def _value(line: Any, name: str) -> Any:
    return line.seed if name == "seed" else line.settings.get(name)


def _distinct(values: list) -> list:
    return sorted(dict.fromkeys(values), key=value_order)


def _figure(panels: list[Panel], runs: pd.DataFrame, page: Page) -> Figure:
    lines = _lines(panels, page)
    heights = [2 * (0.55 + 0.3 * max(len(panel.rows) for panel in line)) for line in lines]
    side_by_side = 1 if len(panels) == 1 and _width(panels[0]) <= 6 else 3
    figure = page.figure(side_by_side, sum(heights) + 0.5)
    scores = 100 * np.concatenate([x[~np.isnan(x)] for panel in panels for x in panel.scores.values()])
    limits = scores.min(), max(scores.max(), scores.min() + 1e-9)
    parts = figure.subfigures(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, line in zip(parts, lines, strict=True):
        grid = part.subplots(2, len(line), squeeze=False, width_ratios=list(map(_width, line)))
        for column, panel in zip(grid.T, line, strict=True):
            image = _column(column, panel, limits)
        part.colorbar(image, ax=grid, label=axis_label(runs), fraction=0.03, aspect=30)
    line = runs.iloc[0]
    head = f"{line['label'].split(' ')[0]} on {line['title']}, {format_model(line['model'])}"
    figure.suptitle(head + _majority(runs))
    return figure


def _majority(runs: pd.DataFrame) -> str:
    """Return the majority scores as a part of the title; nothing if the rows have none."""
    means = {title: 100 * runs[BESIDE[name]].mean() for name, title in SCORES.items()}
    texts = [f"{title} {mean:.1f}" for title, mean in means.items() if not np.isnan(mean)]
    return f"; {LABEL}: {', '.join(texts)}" if texts else ""


def _column(column: Iterable[Axes], panel: Panel, limits: tuple[float, float]) -> Any:
    """Draw a panel's validation scores above its test scores, and frame the best mean validation score.

    With one line per seed, the mean is over a column, and the whole column is framed.
    """
    best = panel.scores["validation_score"]
    of_seeds = panel.down == "seed"
    if of_seeds:
        best = pd.DataFrame(best).mean().to_numpy()[None]
    best_cell = np.unravel_index(np.nanargmax(best), best.shape) if not np.isnan(best).all() else None
    for axes, (name, title) in zip(column, SCORES.items(), strict=True):
        image = _map(axes, panel, 100 * panel.scores[name], limits)
        axes.set_title(title)
        if best_cell is not None and panel.down:
            corner = best_cell[1] - 0.5, best_cell[0] - 0.5
            height = len(panel.rows) if of_seeds else 1
            axes.add_patch(Rectangle(corner, 1, height, fill=False, edgecolor="#D55E00", lw=2))
    return image


def _width(panel: Panel) -> int:
    """Return the width of a panel in cells."""
    return max(len(panel.columns), 2)


def _lines(panels: list[Panel], page: Page) -> list[list[Panel]]:
    """Group panels into lines that fit the page. The default page has all panels in one line."""
    if page == PAGE:
        return [panels]
    fitting = 72 * (page.width or TWO_COLUMNS) / (CELL_WIDTH * page.font_size) - SCALE
    lines: list[list[Panel]] = [[]]
    for panel in panels:
        if lines[-1] and sum(_width(other) + AROUND for other in [*lines[-1], panel]) > fitting:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _tick(value: Any) -> str:
    """Return the shortest text for a value.

    >>> _tick(0.0003), _tick(0.1), _tick(None)
    ('3e-4', '0.1', 'none')
    """
    plain = format_value(value)
    if not isinstance(value, float) or not value:
        return plain
    digits, _, power = f"{value:e}".partition("e")
    return min((plain, f"{float(digits):g}e{int(power)}"), key=len)


def _map(axes: Axes, panel: Panel, scores: np.ndarray, limits: tuple[float, float]):
    image = axes.imshow(scores, cmap=MAP, vmin=limits[0], vmax=limits[1], aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(panel.columns)), [_tick(value) for value in panel.columns])
    axes.set_yticks(range(len(panel.rows)), [_tick(value) if panel.down else "" for value in panel.rows])
    axes.set(xlabel=NAMES[panel.across], ylabel=NAMES.get(panel.down, ""))
    middle = sum(limits) / 2
    for (i, j), score in np.ndenumerate(scores):
        if not np.isnan(score):
            color = "black" if score > middle else "white"
            axes.text(j, i, f"{score:.1f}", ha="center", va="center", color=color, fontsize=small())
    return image
