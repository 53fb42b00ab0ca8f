"""Shared code of the memory figures: GPU sizes, curve labels, and styles of predicted and measured points."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.results.order import display_order
from plots._style import MethodStyle, Page, format_model, legend_above, small, styles

# GPU memory in decimal gigabytes, as advertised. A GPU has a few percent more. The driver and the allocator
# use that surplus.
CARDS = (24, 40, 48, 80, 141)
GB = 1e9
# Title, gradient checkpointing, and whether the panel zooms in on the lowest curves.
PANELS = (
    ("no gradient checkpointing", False, False),
    ("gradient checkpointing", True, False),
    ("gradient checkpointing (zoom)", True, True),
)
# The zoomed panel shows the curves whose maximum is less than this many times the lowest maximum.
ZOOM_RATIO = 1.3
NAMES = {"batch_size": "batch size", "length": "length (tokens)"}
FIXED = {"batch_size": "batch size {:g}", "length": "{:g} tokens"}
CARD_LINE = {"color": "#888888", "lw": 0.6, "ls": (0, (4, 2)), "zorder": 1}


def size_of(model: str) -> str:
    """Return the size in the name of an OPT model.

    >>> size_of("facebook/opt-13b")
    '13B'
    """
    return model.rpartition("-")[2].upper()


def curve_label(row: Mapping) -> str:
    """Return a row's method, with its dtype if float32 and its gradient checkpointing if on."""
    dtype = " float32" if row["dtype"] == "float32" else ""
    return f"{row['label']}{dtype}{', checkpointing' if row['gradient_checkpointing'] else ''}"


def largest(rows: Sequence[Mapping], card: float) -> tuple[str, str] | None:
    """Return the largest model that fits on a GPU and the kind of its peak, or None if no model fits.

    A measured peak takes precedence over a predicted one.

    Args:
        rows: rows of one method at one setting.
        card: memory of the GPU in decimal gigabytes.
    """
    peaks = {row["model"]: row for row in sorted(rows, key=lambda row: row["kind"] == "measured")}
    fitting = [row for row in peaks.values() if row["peak_bytes"] <= card * GB]
    best = max(fitting, key=lambda row: row["split"]["parameters"], default=None)
    return best and (best["model"], best["kind"])


def peak_figures(data: pd.DataFrame, what: str, axis: str, page: Page) -> dict[str, Figure]:
    """Return a figure per model: peak memory against one axis, without and with gradient checkpointing.

    Args:
        data: rows of `benchmarks.studies.memory_curves`.
        what: "figure3" or "figure4", the value of the field `what` in the rows to draw.
        axis: "batch_size" or "length".
        page: size of the figure and of its text.
    """
    data = data[data["what"] == what]
    models = data.groupby("model", sort=False)
    return {f"{what}-{model.replace('/', '_')}": _figure(rows, model, axis, page) for model, rows in models}


def _figure(data: pd.DataFrame, model: str, axis: str, page: Page) -> Figure:
    columns = page.columns(len(PANELS))
    lines = -(-len(PANELS) // columns)
    figure = page.figure(len(PANELS), 0.6 + 2.3 * lines)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[len(PANELS) :]:
        axes.remove()
    labels = display_order(data, "label")
    style_of = styles(labels)
    top = data["peak_bytes"].max() / GB
    for axes, (title, checkpointing, zoom) in zip(panels, PANELS, strict=False):
        # Gradient checkpointing does not affect methods without a backward pass.
        curves = data[(data["gradient_checkpointing"] == checkpointing) | (data["fo_batch_size"] == 0)]
        for label in labels:
            _curve(axes, curves[curves["label"] == label], axis, style_of[label])
        axes.set_title(title)
        axes.set_xlim(0, 1.05 * data[axis].max())
        limits = _zoom_limits(curves) if zoom else (0, 1.06 * top)
        axes.set_ylim(limits)
        cards(axes, *limits)
    panels[0].set_ylabel("peak memory of a step (GB)")
    figure.supxlabel(NAMES[axis])
    keys = [_key(style_of[label], "predicted") for label in labels]
    kinds = [kind for kind in ("predicted", "measured") if kind in set(data["kind"])]
    keys += [_key(MethodStyle("#555555", "o"), kind) for kind in kinds]
    fixed = [FIXED[name].format(data[name].iloc[0]) for name in NAMES if name != axis]
    title = ", ".join([format_model(model), data["dtype"].iloc[0], *fixed])
    entries = [_entry(label, data[data["label"] == label]) for label in labels]
    legend_above(figure, keys, [*entries, *kinds], title, handlelength=1.8)
    return figure


def _zoom_limits(curves: pd.DataFrame) -> tuple[float, float]:
    """Return axis limits, in GB, around the curves whose maximum is near the lowest one."""
    maxima = curves.groupby("label")["peak_bytes"].max() / GB
    low = curves["peak_bytes"].min() / GB
    high = maxima[maxima < ZOOM_RATIO * maxima.min()].max()
    margin = 0.1 * (high - low) or 0.1 * low
    return low - margin, high + margin


def _curve(axes: Axes, rows: pd.DataFrame, axis: str, style: MethodStyle) -> None:
    for kind, points in rows.groupby("kind"):
        points = points.sort_values(axis)
        axes.plot(
            points[axis], points["peak_bytes"] / GB, **_line_style(style, kind), label=points["label"].iloc[0]
        )


def _line_style(style: MethodStyle, kind: str) -> dict:
    """Return the line style: predicted points are open and joined by a line, measured ones are filled."""
    if kind == "predicted":
        return {
            "color": style.color,
            "marker": style.marker,
            "mfc": "white",
            "mew": 0.8,
            "ms": 4,
            "zorder": 3,
        }
    return {
        "color": style.color,
        "marker": style.marker,
        "ls": "none",
        "mec": "white",
        "mew": 0.4,
        "ms": 6,
        "zorder": 4,
    }


def _entry(label: str, rows: pd.DataFrame) -> str:
    """Return a method's legend entry; Addax's includes the size and length of its first-order batch."""
    if label != "Addax":
        return label
    return f"Addax ($K_1$ = {rows['fo_batch_size'].max():g}, $L_T$ = {rows['fo_length'].max():g})"


def _key(style: MethodStyle, kind: str) -> Line2D:
    return Line2D([], [], **_line_style(style, kind))


def cards(axes: Axes, low: float, high: float) -> None:
    """Draw a line for each GPU size within the axis limits (in GB), labeled at its right end."""
    last_labeled = low - high
    for card in (card for card in CARDS if low <= card <= high):
        axes.axhline(card, **CARD_LINE)
        # Labels of sizes that are closer together than a line of text would touch.
        if card - last_labeled > 0.05 * (high - low):
            axes.annotate(
                f"{card} GB",
                (1, card),
                (2, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                color="#666666",
                fontsize=small(),
            )
            last_labeled = card
