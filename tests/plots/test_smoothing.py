"""The sketch of a smoothed loss: each line is the Gaussian mean of the loss drawn."""

import numpy as np
import pytest

from plots import smoothing
from tests.plots.figure_checks import drawn


def sketch():
    """theta -> each line of the sketch, by its eps."""
    (axes,) = drawn("smoothing", [])["smoothing"].axes
    curves = [line for line in axes.lines if len(line.get_xdata()) > 1]
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    return dict(zip((0.0, *smoothing.EPS), curves, strict=True)), marks


def test_a_smoothed_line_is_the_gaussian_mean_of_the_line_drawn_as_the_loss():
    curves, _ = sketch()
    theta, loss = curves[0.0].get_data()
    z = np.linspace(-5, 5, 4001)
    weight = np.exp(-(z**2) / 2)
    for eps in smoothing.EPS:
        inside = np.abs(theta) + 5 * eps <= theta.max()
        assert inside.sum() > 100
        around = np.interp(theta[inside, None] + eps * z, theta, loss)
        mean = around @ weight / weight.sum()
        assert curves[eps].get_ydata()[inside] == pytest.approx(mean, abs=2e-5)
        assert np.abs(curves[eps].get_ydata() - loss).max() > 0.3


def test_marks_are_the_lowest_points_and_smoothing_moves_them():
    curves, marks = sketch()
    places = []
    for line, mark in zip(curves.values(), marks, strict=True):
        low = line.get_ydata().argmin()
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (line.get_xdata()[low], line.get_ydata()[low])
        assert mark.get_color() == line.get_color()
        places.append(mark.get_xdata()[0])
    # The loss is lowest in its narrow well, its smoothed versions in the wide one.
    assert places == pytest.approx([-1.1, 0.93, 0.9], abs=0.03)
