"""Tests of the smoothed-loss sketch: each line is the Gaussian mean of the drawn loss."""

import numpy as np
import pytest

from plots import smoothing
from tests.plots.figure_checks import drawn


def sketch():
    """Return the lines of the sketch, keyed by eps, and the markers."""
    (axes,) = drawn("smoothing", [])["smoothing"].axes
    curves = [line for line in axes.lines if len(line.get_xdata()) > 1]
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    return dict(zip((0.0, *smoothing.EPS), curves, strict=True)), marks


def test_a_smoothed_line_is_the_gaussian_mean_of_the_loss():
    curves, _ = sketch()
    theta, loss = curves[0.0].get_data()
    z = np.linspace(-5, 5, 4001)
    weight = np.exp(-(z**2) / 2)
    for eps in smoothing.EPS:
        inside = np.abs(theta) + 5 * eps <= theta.max()
        assert inside.sum() > 100
        values = np.interp(theta[inside, None] + eps * z, theta, loss)
        mean = values @ weight / weight.sum()
        assert curves[eps].get_ydata()[inside] == pytest.approx(mean, abs=2e-5)
        assert np.abs(curves[eps].get_ydata() - loss).max() > 0.3


def test_markers_are_at_the_minima_and_smoothing_moves_them():
    curves, marks = sketch()
    minima = []
    for line, mark in zip(curves.values(), marks, strict=True):
        low = line.get_ydata().argmin()
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (line.get_xdata()[low], line.get_ydata()[low])
        assert mark.get_color() == line.get_color()
        minima.append(mark.get_xdata()[0])
    # The minimum of the loss is in the narrow well; those of its smoothed versions are in the wide one.
    assert minima == pytest.approx([-1.1, 0.93, 0.9], abs=0.03)
