"""Tests of the K0 sweep: its points match the rows, and K0 = 0 is IP-SGD."""

import pytest
from matplotlib.colors import to_hex

from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import defects_of, drawn

TASKS = list(result_rows.TITLES)


def test_the_curve_starts_at_ip_sgd(rows):
    (axes,) = drawn("k0_sweep", rows)["k0_sweep-nano-opt"].axes
    sizes = {0, 1, 2, 4, 6, 8, 12, 16}
    assert set(axes.get_xticks()) == sizes
    colors = {
        to_hex(line.get_color()).upper(): list(line.get_xdata())
        for line in axes.lines
        if line.get_marker() != "None"
    }
    assert colors == {"#009E73": [0], "#D55E00": sorted(sizes - {0})}
    curve = next(line for line in axes.lines if line.get_linestyle() == "-")
    expected = {r["config"]["settings"]["zo_batch_size"]: 100 * r["score"] for r in result_rows.k0_sweep()}
    assert dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True)) == pytest.approx(expected)


def test_a_sweep_of_addax_wa_excludes_runs_with_a_length_threshold():
    sweep = [
        result_rows.row(zo_batch_size=k, fo_batch_size=4, length_threshold=None, label="Addax-WA")
        for k in (0, 2, 8, 16)
    ]
    other = result_rows.row(zo_batch_size=6, fo_batch_size=4)
    (axes,) = drawn("k0_sweep", [*sweep, other])["k0_sweep-nano-opt"].axes
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["Addax-WA", "IP-SGD"]
    curve = next(line for line in axes.lines if line.get_linestyle() == "-")
    assert list(curve.get_xdata()) == [0, 2, 8, 16]
    assert list(curve.get_ydata()) == pytest.approx([100 * r["score"] for r in sweep])


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_each_swept_task_has_a_panel(count):
    rows = [row for task in TASKS[:count] for row in result_rows.k0_sweep(task=task)]
    figure = drawn("k0_sweep", rows)["k0_sweep-nano-opt"]
    titles = [f"{title}, nano-opt" for title in list(result_rows.TITLES.values())[:count]]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert defects_of(figure) == []


def test_without_a_sweep_there_is_no_figure():
    assert drawn("k0_sweep", result_rows.suite()) == {}
