"""Tests of autocast: a region around several steps gives the same steps as a region within each closure."""

import pytest
import torch

from baselines.mezo import MeZO
from benchmarks.registry import files
from tests.baselines.test_methods import class_of
from tests.numerics.oracle import MLP, bits

STEPS = 3


def autocast():
    """Return an autocast region; torch caches casts of float32 weights until the outermost region ends."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def outside(opt, model):
    """Take all steps within one region, and return the loss after them, computed in the same region."""
    with autocast():
        for k in range(STEPS):
            opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, k)))
        return MLP.loss(model, 0)


def inside(opt, model):
    """Take all steps with a region in each closure, and return the loss after them."""

    def closure(k):
        with autocast():
            return MLP.loss(model, k)

    for k in range(STEPS):
        opt.step(**dict.fromkeys(opt.closures, lambda k=k: closure(k)))
    return closure(0)


VARIANTS = [(name, {}) for name in sorted(files("method"))]
VARIANTS += [(name, {"arithmetic": "released"}) for name in ("addax", "mezo")]


@pytest.mark.parametrize(
    ("name", "options"), VARIANTS, ids=[f"{n}-{'-'.join(o.values())}" for n, o in VARIANTS]
)
def test_autocast_around_steps_equals_autocast_in_each_closure(name, options):
    results = []
    for run in (outside, inside):
        model = MLP.build(torch.float32)
        before = bits(model)
        loss = run(class_of(name)(model, lr=1e-2, **options), model)
        assert bits(model) != before
        results.append((bits(model), loss.item()))
    assert results[0] == results[1]


def test_a_failed_estimate_leaves_no_cast_in_the_autocast_cache():
    """After the failure, the loss within the same region equals the loss within a new region."""
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
