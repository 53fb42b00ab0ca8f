"""Tests of Figure 1: the heights, order, and colors of bars match the rows."""

import math
from collections import Counter
from itertools import pairwise
from statistics import mean, stdev

import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.text import Annotation

from benchmarks.results.frame import Results
from benchmarks.results.order import METHODS
from plots import render
from plots._style import styles
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import bars, drawn

TASKS = list(result_rows.TITLES)


def test_each_run_has_a_bar_in_the_color_of_its_method(rows):
    figure = drawn("figure1", rows)["figure1-nano-opt"]
    score, memory, time = figure.axes
    for axes in (score, memory, time):
        count = Counter(label for label, _ in bars(axes))
        assert count == {
            "Addax": 9,
            "Addax-WA": 1,
            "MeZO": 8,
            "MeZO-SVRG": 8,
            "IP-SGD": 9,
            "SGD": 8,
            "Adam": 9,
        }
        for label, patch in bars(axes):
            assert to_hex(patch.get_facecolor()).upper() == styles([label])[label].color
        marks = [t.get_text() for t in axes.texts if isinstance(t, Annotation)]
        assert sorted(marks) == ["OOM", "failed", "killed"]
    assert [t.get_text() for t in time.get_xticklabels()] == list(result_rows.TITLES.values())


@pytest.mark.parametrize(
    ("panel", "field", "scale"), [(0, "score", 100), (1, "peak_bytes", 1e-6), (2, "train_seconds_to_best", 1)]
)
def test_bars_have_the_heights_of_the_rows(rows, panel, field, scale):
    axes = drawn("figure1", rows)["figure1-nano-opt"].axes[panel]
    heights = {(label, round(p.get_x() + p.get_width() / 2)): p.get_height() for label, p in bars(axes)}
    adam = {TASKS.index(r["config"]["task"]): r[field] for r in rows if r["label"] == "Adam"}
    assert {i: heights["Adam", i] for i in range(9)} == pytest.approx({i: scale * v for i, v in adam.items()})


def test_bars_are_in_display_order_and_do_not_overlap(rows):
    axes = drawn("figure1", rows)["figure1-nano-opt"].axes[0]
    for i in range(9):
        intervals = [
            (p.get_x(), p.get_x() + p.get_width(), label)
            for label, p in bars(axes)
            if round(p.get_x() + 0.05) == i
        ]
        intervals.sort()
        order = [METHODS.index(label) for *_, label in intervals]
        assert order == sorted(order)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(intervals))


def test_zero_shot_is_a_horizontal_line_at_its_score(rows):
    axes = drawn("figure1", rows)["figure1-nano-opt"].axes[0]
    lines = {
        round(sum(line.get_xdata()) / 2): line.get_ydata()[0]
        for line in axes.lines
        if line.get_label() == "zero-shot"
    }
    expected = {TASKS.index(r["config"]["task"]): 100 * r["score"] for r in rows if r["label"] == "zero-shot"}
    assert lines == pytest.approx(expected)


def test_error_bars_are_the_standard_deviation_over_seeds():
    rows = result_rows.suite(seeds=(0, 1, 2), methods=("adam", "mezo"), tasks=("rte", "sst2"))
    axes = drawn("figure1", rows)["figure1-nano-opt"].axes[0]
    scores = [100 * r["score"] for r in rows if r["label"] == "Adam" and r["config"]["task"] == "sst2"]
    box = next(
        b
        for b in axes.containers
        if isinstance(b, BarContainer) and b.get_label() == "Adam" and b[0].get_x() < 0.5
    )
    (low, high) = box.errorbar.lines[2][0].get_segments()[0][:, 1]
    assert (low + high) / 2 == pytest.approx(mean(scores))
    assert (high - low) / 2 == pytest.approx(stdev(scores))


@pytest.mark.parametrize("part", ["long", "short"])
def test_the_scores_by_length_have_one_panel_with_the_methods_that_have_them(part):
    rows = result_rows.suite(methods=("zero-shot", "mezo", "adam"), tasks=("rte", "sst2"))
    rows = [*result_rows.with_lengths([r for r in rows if r["label"] != "MeZO"]),
            *(r for r in rows if r["label"] == "MeZO")]  # fmt: skip
    figures = drawn("figure1", rows)
    assert set(figures) == {f"figure1-nano-opt{ending}" for ending in ("", "-long", "-short")}
    (axes,) = figures[f"figure1-nano-opt-{part}"].axes
    expected = {
        label: sorted(100 * r[f"test_{part}"]["score"] for r in rows if r["label"] == label)
        for label in ("Adam", "zero-shot")
    }
    assert {label for label, _ in bars(axes)} == {"Adam"}
    assert sorted(p.get_height() for _, p in bars(axes)) == pytest.approx(expected["Adam"])
    lines = [line.get_ydata()[0] for line in axes.lines if line.get_label() == "zero-shot"]
    assert sorted(lines) == pytest.approx(expected["zero-shot"])
    assert axes.get_ylabel() == f"accuracy on {part} rows (%)"
    table = render.numbers("figure1", Results.of(rows))[f"figure1-nano-opt-{part}"]
    assert set(table["label"]) == {"Adam", "zero-shot"}
    assert set(table["long_above_tokens"]) == {40}


def test_a_time_of_zero_is_marked_on_the_logarithmic_axis():
    rows = result_rows.suite(methods=("adam", "mezo"), tasks=("rte",))
    rows[1]["train_seconds_to_best"] = 0.0
    time = drawn("figure1", rows)["figure1-nano-opt"].axes[2]
    assert [t.get_text() for t in time.texts] == ["0"]
    assert len(bars(time)) == 1
    assert all(math.isfinite(y) for y in time.get_ylim())
