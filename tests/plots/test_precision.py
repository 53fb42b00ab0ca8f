"""Tests of the precision figure: drift, and the realized fraction of a step."""

from itertools import pairwise

import pytest

from plots import precision
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import drawn


def lines_of(axes, color):
    """Return the lines of a color that have at least two points."""
    return [line for line in axes.lines if line.get_color() == color and len(line.get_xdata()) > 1]


def test_lines_are_the_drift_and_the_realized_fractions_of_the_rows():
    rows = result_rows.precision()
    figure = drawn("precision", rows)["precision"]
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["synthetic"] * 3 + ["SmolLM2-135M"] * 3
    drift, step = figure.axes[3], figure.axes[4]
    assert titles[4] == "SmolLM2-135M: step, bfloat16"
    expected = {
        (r["dtype"], r["steps"]): r["drift"]
        for r in rows
        if (r["weights"], r["measure"], r["arithmetic"]) == ("smollm2-135m", "drift", "released")
    }
    dtypes = {marker: dtype for dtype, marker in precision.MARKERS.items()}
    points = {
        (dtypes[line.get_marker()], x): y
        for line in lines_of(drift, precision.VARIANTS["released", None][1]["color"])
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert points == expected
    for (arithmetic, rounding), (_, style) in precision.VARIANTS.items():
        (line,) = lines_of(step, style["color"])
        expected = {
            r["size"]: 100 * r["fraction"]
            for r in rows
            if (r["weights"], r["dtype"], r["measure"]) == ("smollm2-135m", "bfloat16", "fraction")
            and (r["arithmetic"], r["rounding"]) == (arithmetic, rounding)
        }
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == pytest.approx(expected)


def test_a_drift_of_zero_is_drawn_at_zero_and_labeled():
    """The axis includes 0, below the smallest other drift. If any drift is not 0, the label is absent."""
    rows = result_rows.precision()
    for drifts in (False, True):
        if drifts:
            last = next(r for r in reversed(rows) if (r["measure"], r["arithmetic"]) == ("drift", "exact"))
            last["drift"] = 1e-3
        axes = drawn("precision", rows)["precision"].axes[3]
        heights = [axes.transData.transform((1, y))[1] for y in (0, 1e-8, 1e-7)]
        assert axes.get_ylim()[0] == 0
        assert min(b - a for a, b in pairwise(heights)) > 5
        ours = lines_of(axes, precision.VARIANTS["exact", "stochastic"][1]["color"])
        assert sorted(max(line.get_ydata()) for line in ours) == [0, 0, 1e-3 * drifts]
        assert any("exactly 0" in text.get_text() for text in axes.texts) != drifts
