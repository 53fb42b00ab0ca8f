"""Tests of Figures 3 and 4 and of the largest-model figure: predicted and measured peak memory."""

import pytest

from plots import _memory
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import defects_of, drawn


@pytest.mark.parametrize(("name", "axis"), [("figure3", "batch_size"), ("figure4", "length")])
def test_curves_match_the_rows_and_distinguish_predicted_from_measured(name, axis):
    rows = result_rows.memory()
    (figure,) = drawn(name, rows).values()
    plain, checkpointed, zoomed = figure.axes
    for axes, checkpointing in ((plain, False), (checkpointed, True), (zoomed, True)):
        curves = [line for line in axes.lines if not line.get_label().startswith("_")]
        found = {
            (line.get_label(), line.get_linestyle() != "None", line.get_markerfacecolor() == "white"): dict(
                zip(line.get_xdata(), line.get_ydata(), strict=True)
            )
            for line in curves
        }
        for label in ("MeZO", "IP-SGD", "SGD", "LoRA with Adam", "Addax"):
            for kind, open_line in (("predicted", True), ("measured", False)):
                expected = {
                    r[axis]: r["peak_bytes"] / 1e9
                    for r in rows
                    if (r["what"], r["label"], r["kind"]) == (name, label, kind)
                    and (r["gradient_checkpointing"] == checkpointing or label == "MeZO")
                }
                assert found.pop((label, open_line, open_line)) == pytest.approx(expected)
        assert found == {}
        low, high = axes.get_ylim()
        cards = [line.get_ydata()[0] for line in axes.lines if line.get_color() == "#888888"]
        assert cards == [card for card in _memory.CARDS if low <= card <= high]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries[-2:] == ["predicted", "measured"]
    assert "Addax ($K_1$ = 4, $L_T$ = 170)" in entries
    assert zoomed.get_ylim()[0] > 0
    assert defects_of(figure) == []
    predicted = [r for r in rows if r["kind"] == "predicted"]
    (figure,) = drawn(name, predicted).values()
    assert [t.get_text() for t in figure.legends[0].get_texts()][-1] == "predicted"


def test_the_largest_model_figure_shows_the_model_of_each_method_and_marks_measured_peaks():
    rows = result_rows.memory()
    (figure,) = drawn("largest_model", rows).values()
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    for axes, is_single in zip(figure.axes, (True, False), strict=True):
        assert len(axes.texts) == len(names) * len(_memory.CARDS)
        for text in axes.texts:
            x, y = text.get_position()
            matching = [
                r
                for r in rows
                if r["what"] == "fits"
                and (r["batch_size"] == 1) == is_single
                and _memory.curve_label(r) == names[round(y)]
            ]
            best = _memory.largest(matching, _memory.CARDS[round(x)])
            assert text.get_text() == (_memory.size_of(best[0]) if best else "–")
            assert (text.get_fontweight() == "bold") == (best is not None and best[1] == "measured")
    assert len({t.get_text() for t in figure.axes[1].texts}) > 2
    assert defects_of(figure) == []
