"""Tests of the learning rates of trials: every method gets the same number, spread in the same way."""

import math
from itertools import pairwise

import pytest

from benchmarks import registry, suites
from benchmarks.compare import rates
from benchmarks.errors import UserError
from benchmarks.suites import quick


def test_the_rule_gives_the_rates_of_quick_for_a_nano_model():
    """A change of the tuned rates of `quick` must be repeated in the rule."""
    for method in registry.files("method"):
        assert rates.center(method, 185_000) == rates.nearest(quick.SETTINGS[method]["lr"])


@pytest.mark.parametrize("method", ["mezo", "adam"])
def test_the_rule_is_inside_the_papers_grid_for_opt_13b(method):
    grid = [spec.settings["lr"] for spec in suites.load("mezo-opt-13b")
            if spec.method == method and spec.trainable == "all"]  # fmt: skip
    assert min(grid) <= rates.center(method, 12_850_000_000) <= max(grid)


def test_every_method_and_every_optimizer_has_a_rule():
    assert set(rates.ANCHORS) == {*registry.files("method"), *registry.files("optimizer")}


@pytest.mark.parametrize("method", sorted(rates.ANCHORS.keys() - {"adafactor"}))
def test_larger_models_begin_at_smaller_rates(method):
    centers = [rates.center(method, 10**power) for power in range(4, 12)]
    assert centers == sorted(centers, reverse=True)
    assert len(set(centers)) > 3


@pytest.mark.parametrize("best", [-1, 0, 1])
def test_trials_are_half_a_decade_apart_around_the_best(best):
    first = rates.first_trials(3e-4)
    tried = sorted([*first, *rates.last_trials(first[1 + best])])
    assert len(set(tried)) == rates.TRIALS
    i = tried.index(first[1 + best])
    near = [tried[k] for k in (i - 1, i, i + 1) if 0 <= k < len(tried)]
    steps = [math.log10(b / a) for a, b in pairwise(near)]
    # 3 stands for the square root of 10.
    assert all(0.45 < step < 0.55 for step in steps)
    assert len(near) == 3


def test_a_method_without_a_rule_begins_at_its_own_default_or_is_an_error():
    assert rates.center("mine", 10**6, 2e-3) == 3e-3
    with pytest.raises(UserError, match="pass --center mine=RATE"):
        rates.center("mine", 10**6)
