"""The largest OPT model whose training step fits on a GPU, per method and GPU size.

One panel is for a batch of one example, the other for training batches. Sizes in bold come from measured
peaks, and all others come from predicted peaks. Drawn from rows of `benchmarks.studies.memory_curves`.
Compare Figure 4 right of MeZO (arXiv 2305.17333), which uses a batch of one example.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._memory import CARDS, curve_label, largest, size_of
from plots._style import PAGE, Page

STUDY = "memory-curves"
# Whether the batch is a single example, and the panel's title.
PANELS = ((True, "one example"), (False, "training batches"))


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure; `results` hold one row per model, method, and setting."""
    data = results.runs[results.runs["what"] == "fits"]
    if not len(data):
        return {}
    data = data.assign(name=[curve_label(row) for row in data.to_dict("records")])
    names = list(dict.fromkeys(data["name"]))
    sizes = data.groupby("model")["split"].agg(lambda splits: max(split["parameters"] for split in splits))
    models = list(sizes.sort_values().index)
    columns = page.columns(len(PANELS))
    lines = len(PANELS) // columns
    figure = page.figure(len(PANELS), 0.6 + (0.2 + 0.19 * len(names)) * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, (is_single, title) in zip(panels, PANELS, strict=True):
        subset = data[(data["batch_size"] == 1) == is_single]
        cells = [
            [largest(subset[subset["name"] == name].to_dict("records"), card) for card in CARDS]
            for name in names
        ]
        _panel(axes, cells, models)
        axes.set_title(f"{title}, {subset['length'].iloc[0]:g} tokens")
    for axes in panels[::columns]:
        axes.set_yticks(range(len(names)), names)
        axes.set_ylabel("method")
    measured = "; bold: measured" if "measured" in set(data["kind"]) else ""
    figure.supxlabel(f"GPU memory (GB); cells: the largest OPT that fits{measured}")
    return {"largest_model": figure}


def _panel(axes: Axes, cells: list[list[tuple[str, str] | None]], models: list[str]) -> None:
    """Draw a cell for each method and GPU size; larger models have darker cells."""
    shades = [[1 + models.index(cell[0]) if cell else 0 for cell in line] for line in cells]
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1.3 * len(models), aspect="auto")
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            axes.text(
                x,
                y,
                size_of(cell[0]) if cell else "–",
                ha="center",
                va="center",
                color="white" if shades[y][x] > 0.75 * len(models) else "black",
                weight="bold" if cell and cell[1] == "measured" else "normal",
            )
    axes.set_xticks(range(len(CARDS)), CARDS)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
