"""What the figures of memory share: cards, names of curves, and how predicted and measured points differ."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.results.order import display_order
from plots._style import MethodStyle, Page, format_model, legend_above, small, styles

# Decimal gigabytes, as cards are sold; a card has a few per cent more, which driver and allocator need.
CARDS = (24, 40, 48, 80, 141)
GB = 1e9
# Title, gradient checkpointing, and whether only the lowest curves are in sight.
PANELS = (
    ("activations kept", False, False),
    ("gradient checkpointing", True, False),
    ("the same, enlarged", True, True),
)
NEAR = 1.3
NAMES = {"batch_size": "batch size", "length": "length (tokens)"}
FIXED = {"batch_size": "batch size {:g}", "length": "{:g} tokens"}
CARD_LINE = {"color": "#888888", "lw": 0.6, "ls": (0, (4, 2)), "zorder": 1}


def size_of(model: str) -> str:
    """The size in an OPT's name.

    >>> size_of("facebook/opt-13b")
    '13B'
    """
    return model.rpartition("-")[2].upper()


def curve_label(row: Mapping) -> str:
    """A method with what makes its curve another one."""
    dtype = " float32" if row["dtype"] == "float32" else ""
    return f"{row['label']}{dtype}{', checkpointing' if row['gradient_checkpointing'] else ''}"


def largest(rows: Sequence[Mapping], card: float) -> tuple[str, str] | None:
    """The largest model whose peak a card of so many GB has room for, and of which kind that peak is.

    A measured peak goes before a predicted one.

    Args:
        rows: of one method at one setting.
        card: decimal gigabytes.
    """
    peaks = {row["model"]: row for row in sorted(rows, key=lambda row: row["kind"] == "measured")}
    fitting = [row for row in peaks.values() if row["peak_bytes"] <= card * GB]
    best = max(fitting, key=lambda row: row["split"]["parameters"], default=None)
    return best and (best["model"], best["kind"])


def against(data: pd.DataFrame, what: str, axis: str, page: Page) -> dict[str, Figure]:
    """Return a figure for each model: the peak against one axis, without and with gradient checkpointing.

    Args:
        data: rows of `benchmarks.studies.memory_curves`.
        what: the figure whose rows to draw.
        axis: "batch_size" or "length".
        page: size of the figure and of its text.
    """
    here = data[data["what"] == what]
    models = here.groupby("model", sort=False)
    return {f"{what}-{model.replace('/', '_')}": _figure(of, model, axis, page) for model, of in models}


def _figure(here: pd.DataFrame, model: str, axis: str, page: Page) -> Figure:
    columns = page.columns(len(PANELS))
    lines = -(-len(PANELS) // columns)
    figure = page.figure(len(PANELS), 0.6 + 2.3 * lines)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[len(PANELS) :]:
        axes.remove()
    labels = display_order(here, "label")
    look = styles(labels)
    top = here["peak_bytes"].max() / GB
    for axes, (title, checkpointing, enlarged) in zip(panels, PANELS, strict=False):
        # What has no backward pass is the same in all.
        curves = here[(here["gradient_checkpointing"] == checkpointing) | (here["fo_batch_size"] == 0)]
        for label in labels:
            _curve(axes, curves[curves["label"] == label], axis, look[label])
        axes.set_title(title)
        axes.set_xlim(0, 1.05 * here[axis].max())
        limits = _lowest(curves) if enlarged else (0, 1.06 * top)
        axes.set_ylim(limits)
        cards(axes, *limits)
    panels[0].set_ylabel("peak memory of a step (GB)")
    figure.supxlabel(NAMES[axis])
    keys = [_key(look[label], "predicted") for label in labels]
    kinds = [kind for kind in ("predicted", "measured") if kind in set(here["kind"])]
    keys += [_key(MethodStyle("#555555", "o"), kind) for kind in kinds]
    fixed = [FIXED[name].format(here[name].iloc[0]) for name in NAMES if name != axis]
    title = ", ".join([format_model(model), here["dtype"].iloc[0], *fixed])
    entries = [_entry(label, here[here["label"] == label]) for label in labels]
    legend_above(figure, keys, [*entries, *kinds], title, handlelength=1.8)
    return figure


def _lowest(curves: pd.DataFrame) -> tuple[float, float]:
    """Limits, in GB, around the curves that end near the lowest one."""
    ends = curves.groupby("label")["peak_bytes"].max() / GB
    low = curves["peak_bytes"].min() / GB
    high = ends[ends < NEAR * ends.min()].max()
    margin = 0.1 * (high - low) or 0.1 * low
    return low - margin, high + margin


def _curve(axes: Axes, rows: pd.DataFrame, axis: str, look: MethodStyle) -> None:
    for kind, points in rows.groupby("kind"):
        points = points.sort_values(axis)
        axes.plot(
            points[axis], points["peak_bytes"] / GB, **_drawn(look, kind), label=points["label"].iloc[0]
        )


def _drawn(look: MethodStyle, kind: str) -> dict:
    """Predicted points are open and on a line, measured ones filled and alone."""
    if kind == "predicted":
        return {"color": look.color, "marker": look.marker, "mfc": "white", "mew": 0.8, "ms": 4, "zorder": 3}
    return {
        "color": look.color,
        "marker": look.marker,
        "ls": "none",
        "mec": "white",
        "mew": 0.4,
        "ms": 6,
        "zorder": 4,
    }


def _entry(label: str, rows: pd.DataFrame) -> str:
    """A method, and what is its own in the batch of its backward pass."""
    if label != "Addax":
        return label
    return f"Addax ($K_1$ = {rows['fo_batch_size'].max():g}, $L_T$ = {rows['fo_length'].max():g})"


def _key(look: MethodStyle, kind: str) -> Line2D:
    return Line2D([], [], **_drawn(look, kind))


def cards(axes: Axes, low: float, high: float) -> None:
    """A line for each card within an axis's limits, in GB, with its name beside its right end."""
    named = low - high
    for card in (card for card in CARDS if low <= card <= high):
        axes.axhline(card, **CARD_LINE)
        # Names of cards that lie closer than a line of text would touch.
        if card - named > 0.05 * (high - low):
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
            named = card
