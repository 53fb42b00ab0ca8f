"""Tests of Figure 11: pairs of methods with equal batches, or with a quarter of the first-order examples."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from benchmarks.config import labels
from benchmarks.suites import figure11 as suite
from plots._style import ONE_COLUMN, styles
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import drawn


def draw(rows):
    return drawn("figure11", rows)


def entries(figure):
    """Return the entries of each column's legend, keyed by the legend's title."""
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    return {x.get_title().get_text(): [t.get_text() for t in x.get_texts()] for x in legends}


LEFT = ["Addax-WA: $K_0$ = 12, $K_1$ = 4", "MeZO: $K_0$ = 16"]
RIGHT = ["Addax: $K_0$ = 6, $K_1$ = 4", "SGD: $K_1$ = 16"]


def test_legends_state_the_batch_sizes():
    (figure,) = draw(result_rows.figure11()).values()
    assert entries(figure) == {"equal batches": LEFT, "4x fewer first-order examples": RIGHT}
    assert figure.get_suptitle() == "SQuAD, nano-opt, validation"
    assert figure.get_supxlabel() == "training step"


@pytest.mark.parametrize(("measure", "line", "scale"), [("score", 0, 100), ("loss", 1, 1)])
def test_lines_are_means_over_seeds(measure, line, scale):
    rows = result_rows.figure11()
    (figure,) = draw(rows).values()
    axes = figure.axes[2 * line]
    for label, k0 in (("Addax-WA", 12), ("MeZO", 16)):
        color = styles([label])[label].color
        (drawn_line,) = (x for x in axes.lines if x.get_color() == color and len(x.get_xdata()) > 1)
        matching = [r for r in rows if (r["label"], r["config"]["settings"]["zo_batch_size"]) == (label, k0)]
        curves = [r["curve"] for r in matching]
        assert len(curves) == 3
        expected = np.mean([[scale * e[measure] for e in curve] for curve in curves], axis=0)
        assert list(drawn_line.get_xdata()) == [e["step"] for e in curves[0]]
        assert drawn_line.get_ydata() == pytest.approx(expected)
        (band,) = (x for x in axes.collections if np.allclose(x.get_facecolor()[0][:3], to_rgb(color)))
        spread = np.std([[scale * e[measure] for e in curve] for curve in curves], axis=0, ddof=1)
        assert band.get_paths()[0].get_extents().y1 == pytest.approx((expected + spread).max())


def test_the_pair_with_the_largest_batches_is_drawn():
    bigger = [
        result_rows.row(
            label="Addax-WA", task="squad", zo_batch_size=48, fo_batch_size=16, length_threshold=None
        )
    ]
    (figure,) = draw([*result_rows.figure11(), *bigger]).values()
    assert entries(figure)["equal batches"] == ["Addax-WA: $K_0$ = 48, $K_1$ = 16", "MeZO: $K_0$ = 64"]


def test_one_pair_gives_one_column_and_no_pair_gives_no_figure():
    rows = result_rows.figure11()
    (figure,) = draw([r for r in rows if r["label"] != "SGD"]).values()
    assert list(entries(figure)) == ["equal batches"]
    assert (len(figure.axes), figure.get_figwidth()) == (2, ONE_COLUMN)
    assert draw([r for r in rows if r["label"] not in ("SGD", "MeZO")]) == {}
    assert draw(result_rows.suite()) == {}


@pytest.mark.parametrize("status", ["OOM", "killed", "failed"])
def test_an_unfinished_run_forms_no_pair(status):
    rows = [r | {"status": status} if r["label"] in ("SGD", "MeZO") else r for r in result_rows.figure11()]
    assert draw(rows) == {}


def test_a_run_much_longer_than_its_partner_has_a_logarithmic_axis():
    (figure,) = draw(result_rows.figure11()).values()
    # MeZO takes 4,000 steps against Addax-WA's 400; Addax and SGD take equally many.
    assert [axes.get_xscale() for axes in figure.axes] == ["symlog", "linear"] * 2


def test_the_suite_has_both_pairs_on_each_task():
    specs = suite.specs()
    assert len({s.id for s in specs}) == len(specs) == 4 * len(suite.TASKS) * len(suite.SEEDS)
    rows = []
    for s in specs:
        row = result_rows.row(s.method, s.task, s.model, s.seed, label=labels.label(s), **s.settings)
        threshold = s.length_threshold and s.length_threshold.value()
        row["config"] |= {"steps": s.steps, "data_seed": s.data_seed, "length_threshold": threshold}
        rows.append(row)
    figures = draw(rows)
    assert set(figures) == {f"figure11-nano-opt-{task}" for task in suite.TASKS}
    for figure in figures.values():
        assert list(entries(figure).values()) == [LEFT, RIGHT]
    thresholds = {labels.label(s): s.config()["length_threshold"] for s in specs if s.method == "addax"}
    assert thresholds == {"Addax-WA": None, "Addax": "q0.75"}
