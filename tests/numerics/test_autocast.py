"""Autocast around a step, or around many, takes the steps that it takes within the closures."""

import pytest
import torch

from baselines.mezo import MeZO
from benchmarks.registry import files
from tests.baselines.test_methods import class_of
from tests.numerics.oracle import MLP, bits

STEPS = 3


def autocast():
    """What keeps each float32 weight's cast until the outermost of its regions ends."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def outside(opt, model):
    """One region around all steps; also the loss that the model has after them, within it."""
    with autocast():
        for k in range(STEPS):
            opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, k)))
        return MLP.loss(model, 0)


def inside(opt, model):
    """A region in each closure."""

    def closure(k):
        with autocast():
            return MLP.loss(model, k)

    for k in range(STEPS):
        opt.step(**dict.fromkeys(opt.closures, lambda k=k: closure(k)))
    return closure(0)


WAYS = [(name, {}) for name in sorted(files("method"))]
WAYS += [(name, {"arithmetic": "released"}) for name in ("addax", "mezo")]


@pytest.mark.parametrize(("name", "options"), WAYS, ids=[f"{n}-{'-'.join(o.values())}" for n, o in WAYS])
def test_autocast_around_steps_equals_autocast_in_each_closure(name, options):
    ends = []
    for run in (outside, inside):
        model = MLP.build(torch.float32)
        before = bits(model)
        shown = run(class_of(name)(model, lr=1e-2, **options), model)
        assert bits(model) != before
        ends.append((bits(model), shown.item()))
    assert ends[0] == ends[1]


def test_an_estimate_that_fails_leaves_no_cast_behind():
    """What the model gives afterwards in the region is what it gives in one of its own."""
    model = MLP.build(torch.float32)
    opt = MeZO(model, lr=0.0, eps=0.5)

    def broken():
        MLP.loss(model, 0)
        raise RuntimeError("broken")

    with autocast():
        with pytest.raises(RuntimeError, match="broken"):
            opt.step(zo_loss=broken)
        after = MLP.loss(model, 0)
    with autocast():
        assert MLP.loss(model, 0) == after
