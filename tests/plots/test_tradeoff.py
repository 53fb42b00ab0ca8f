"""Tests of the figure of score against peak memory: positions, areas, and spreads match the rows."""

from statistics import mean, stdev

import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from benchmarks.results.frame import Results
from plots import render, tradeoff
from plots._style import styles
from tests.benchmarks.results import result_rows

STEM = "tradeoff-nano-opt"


@pytest.fixture
def seeds():
    """Rows of four methods on one task with three seeds, of which one run of SGD has no memory left."""
    rows = [
        result_rows.row(method, "sst2", seed=seed)
        for method in ("zero-shot", "addax", "mezo", "adam")
        for seed in range(3)
    ]
    return [*rows, result_rows.row("sgd", "sst2", status="OOM")]


def draw(rows):
    return render.draw(["tradeoff"], Results.of(rows))["tradeoff"]


def test_a_marker_is_at_the_mean_score_and_peak_of_a_method(seeds):
    (axes,) = draw(seeds)[STEM].axes
    found = {}
    for marker in axes.collections:
        if isinstance(marker, PathCollection):
            ((x, y),) = marker.get_offsets()
            found[to_hex(marker.get_facecolor()[0]).upper()] = x, y
    expected = {}
    for label in ("Addax", "MeZO", "Adam"):
        own = [row for row in seeds if row["label"] == label]
        peak, score = mean(row["peak_bytes"] for row in own), mean(row["score"] for row in own)
        expected[styles([label])[label].color] = pytest.approx((peak / 1e6, 100 * score))
    assert found == expected


def test_the_area_is_proportional_to_the_training_time(seeds):
    (axes,) = draw(seeds)[STEM].axes
    areas = {
        to_hex(m.get_facecolor()[0]).upper(): m.get_sizes()[0]
        for m in axes.collections
        if isinstance(m, PathCollection)
    }
    seconds = {
        label: mean(row["train_seconds"] for row in seeds if row["label"] == label)
        for label in ("Addax", "MeZO", "Adam")
    }
    slowest = max(seconds.values())
    for label, value in seconds.items():
        expected = max(tradeoff.SMALLEST, tradeoff.LARGEST * value / slowest)
        assert areas[styles([label])[label].color] == pytest.approx(expected)


def test_bars_show_the_standard_deviation_over_seeds(seeds):
    (axes,) = draw(seeds)[STEM].axes
    heights = sorted(
        float(high - low)
        for container in axes.containers
        for (_, low), (_, high) in container.lines[2][0].get_segments()
    )
    spreads = sorted(
        200 * stdev(row["score"] for row in seeds if row["label"] == label)
        for label in ("Addax", "MeZO", "Adam")
    )
    assert heights == pytest.approx(spreads)


def test_zero_shot_is_a_line_at_its_score(seeds):
    (axes,) = draw(seeds)[STEM].axes
    levels = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_xdata())) == 2]
    assert 100 * mean(row["score"] for row in seeds if row["label"] == "zero-shot") in map(
        pytest.approx, levels
    )


def test_one_method_makes_no_figure():
    assert "tradeoff" not in render.draw(["tradeoff"], Results.of([result_rows.row("addax", "sst2")]))


def test_numbers_are_those_of_the_markers(seeds):
    table = tradeoff.numbers(Results.of(seeds))[STEM]
    assert sorted(table["label"]) == ["Adam", "Addax", "MeZO", "zero-shot"]
    assert set(table["n"]) == {3}
