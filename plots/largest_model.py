"""The largest OPT whose step fits on a card, for every method: one example, and the batches of training.

Rows of `memory_curves`. A size in bold rests on a measured peak, any other on a predicted one. Compare
MeZO's Figure 4 right, arXiv 2305.17333, which has the batch of one.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._memory import CARDS, curve_label, largest, size_of
from plots._style import PAGE, Page

STUDY = "memory-curves"
PANELS = ((True, "one example"), (False, "batches of training"))


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure; `results` hold one row a model, method, and setting."""
    here = results.runs[results.runs["what"] == "fits"]
    if not len(here):
        return {}
    here = here.assign(name=[curve_label(row) for row in here.to_dict("records")])
    names = list(dict.fromkeys(here["name"]))
    sizes = here.groupby("model")["split"].agg(lambda of: max(split["parameters"] for split in of))
    models = list(sizes.sort_values().index)
    columns = page.columns(len(PANELS))
    lines = len(PANELS) // columns
    figure = page.figure(len(PANELS), 0.6 + (0.2 + 0.19 * len(names)) * lines)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, (one, title) in zip(panels, PANELS, strict=True):
        of = here[(here["batch_size"] == 1) == one]
        found = [[largest(of[of["name"] == n].to_dict("records"), card) for card in CARDS] for n in names]
        _panel(axes, found, models)
        axes.set_title(f"{title}, {of['length'].iloc[0]:g} tokens")
    for axes in panels[::columns]:
        axes.set_yticks(range(len(names)), names)
        axes.set_ylabel("method")
    measured = "; bold: measured" if "measured" in set(here["kind"]) else ""
    figure.supxlabel(f"card (GB), and the largest OPT that fits{measured}")
    return {"largest_model": figure}


def _panel(axes: Axes, found: list[list[tuple[str, str] | None]], models: list[str]) -> None:
    """A cell for each method and card: the larger the model the darker."""
    shades = [[1 + models.index(cell[0]) if cell else 0 for cell in line] for line in found]
    axes.imshow(shades, cmap="Blues", vmin=0, vmax=1.3 * len(models), aspect="auto")
    for y, line in enumerate(found):
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
