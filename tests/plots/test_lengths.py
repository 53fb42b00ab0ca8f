"""Tests of the lengths figure: a panel per task, a bar per bin, and L_T between the two shades."""

import pytest
from matplotlib.colors import to_hex

from plots import lengths
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import bars, defects_of, drawn


def test_bins_are_shaded_by_their_side_of_the_threshold():
    rows = result_rows.lengths()
    found = drawn("lengths", rows)
    assert set(found) == {"lengths-builtin-nano-opt", "lengths-folder-smollm2-135m"}
    canvas = found["lengths-folder-smollm2-135m"]
    assert [a.get_title() for a in canvas.axes] == [f"{t} (n = 270)" for t in result_rows.TITLES.values()]
    assert canvas.legends[0].get_title().get_text() == "smollm2-135m, real rows"
    assert [t.get_text() for t in canvas.legends[0].get_texts()][-1] == "$L_T$ (q0.75)"
    for axes, row in zip(canvas.axes, rows[9:], strict=True):
        threshold = row["length_threshold_tokens"]
        boxes = [patch for _, patch in bars(axes)]
        assert [b.get_height() for b in boxes] == row["counts"]
        assert [b.get_x() for b in boxes] == pytest.approx(row["edges"][:-1])
        shades = [to_hex(b.get_facecolor()).upper() for b in boxes]
        assert shades == [lengths.SHADES["D1"]] * 6 + [lengths.SHADES["D0"]] * 3
        (line,) = axes.lines
        assert set(line.get_xdata()) == {threshold + 0.5}
        assert [t.get_text() for t in axes.texts] == [str(threshold)]


@pytest.mark.parametrize("count", [1, 2, 4, 7, 9])
def test_the_figure_is_readable_for_any_number_of_tasks(count):
    rows = result_rows.lengths((("folder", "me/a-model"),))[:count]
    rows[0] |= {"max_length": rows[0]["maximum"]}
    (canvas,) = drawn("lengths", rows).values()
    assert len(canvas.axes) == count
    assert canvas.axes[0].get_title() == f"SST-2 (n = 270, cut at {rows[0]['maximum']:,})"
    assert defects_of(canvas) == []


def test_the_label_of_a_threshold_near_the_right_edge_stays_inside():
    row = result_rows.lengths()[0]
    row |= {"counts": row["counts"][:6], "edges": row["edges"][:7]}
    (canvas,) = drawn("lengths", [row]).values()
    assert defects_of(canvas) == []
    assert canvas.axes[0].texts[0].get_ha() == "right"
