"""Tests of the closures that Addax takes for each alpha. `tests/numerics` tests its arithmetic."""

from torch import nn

from addax import Addax


def test_addax_drops_the_closure_that_alpha_gives_zero_weight():
    closures = {
        alpha: Addax(nn.Linear(2, 1), lr=0.1, alpha=alpha).next_closures() for alpha in (0, 0.0, 0.5, 1, 1.0)
    }
    assert closures == {0: ("fo_loss",), 0.5: ("zo_loss", "fo_loss"), 1: ("zo_loss",)}
