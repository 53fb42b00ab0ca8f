"""Tests of text fitting: long titles are broken, crowded names rotated, and touching ticks dropped."""

import pytest
from matplotlib.figure import Figure

from plots._fit import fit
from plots._style import PAGE
from tests.plots.figure_checks import defects_of


@pytest.fixture
def figure():
    with PAGE.style():
        return Figure(figsize=(3.3, 2.5), layout="constrained")


def fitted(figure):
    with PAGE.style():
        fit(figure)
    return defects_of(figure)


def test_a_title_wider_than_the_figure_is_broken(figure):
    axes = figure.subplots()
    axes.plot([0, 1])
    axes.set_title("a title of so many words that no column of a paper has room for them in one line")
    assert fitted(figure) == []
    assert "\n" in axes.get_title()


def test_every_line_of_a_title_is_broken_on_its_own(figure):
    axes = figure.subplots()
    axes.plot([0, 1])
    axes.set_title("a title\nwith a second line of so many words that no column of a paper has room for them")
    assert fitted(figure) == []
    assert axes.get_title().split("\n")[0] == "a title"


def test_a_title_that_fits_is_unchanged(figure):
    axes = figure.subplots()
    axes.plot([0, 1])
    axes.set_title("a short title")
    assert fitted(figure) == []
    assert axes.get_title() == "a short title"


def test_names_that_touch_are_rotated(figure):
    axes = figure.subplots()
    axes.bar(range(9), range(9))
    axes.set_xticks(range(9), [f"a long name {i}" for i in range(9)])
    assert fitted(figure) == []
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {90}


def test_every_other_number_is_dropped_until_none_touch(figure):
    axes = figure.subplots()
    axes.plot(range(20), range(20))
    axes.set_xticks(range(20))
    axes.xaxis.set_major_formatter(lambda x, _: f"{1000 * x:.0f}")
    assert fitted(figure) == []
    assert 1 < len(axes.get_xticks()) < 20
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {0}


def test_the_checks_find_every_kind_of_defect():
    figure = Figure(figsize=(3.0, 2.0))
    axes = figure.subplots(1, 2)
    axes[0].plot([0, 1])
    figure.text(0.5, 0.5, "one thing")
    figure.text(0.52, 0.5, "on another", fontsize=5)
    figure.text(0.95, 0.1, "over the edge")
    found = "\n".join(defects_of(figure))
    for words in ("'one thing' touches 'on another'", "is small", "empty panel", "cut off by", "inches wide"):
        assert words in found
