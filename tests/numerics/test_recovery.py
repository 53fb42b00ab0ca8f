"""Closures that go on after an error of a module, as where memory ran out: theta and the estimate stay."""

import contextlib

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from addax.scratch import Scratch
from baselines.mezo import MeZO
from tests.numerics.oracle import MLP, OPT, TIED, check_unmoved

PROBLEMS = pytest.mark.parametrize("problem", [MLP, TIED, OPT], ids=lambda p: p.name)


class Failing:
    """Fails once, at its n-th call."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> None:
        """Counts."""
        self.left -= 1
        if self.left == 0:
            raise torch.OutOfMemoryError("none left")


@contextlib.contextmanager
def without_memory(n, monkeypatch):
    """The n-th tensor of perturbed weights cannot be had."""
    failing, take = Failing(n), Scratch.take
    with monkeypatch.context() as patch:
        patch.setattr(Scratch, "take", lambda *a, **k: failing() or take(*a, **k))
        yield failing


@contextlib.contextmanager
def without_entry(n, _monkeypatch):
    """The n-th module call fails before any hook of the module's own; these hooks run first."""
    failing = Failing(n)
    handle = register_module_forward_pre_hook(lambda _module, _inputs: failing())
    yield failing
    handle.remove()


@pytest.mark.medium
@PROBLEMS
@pytest.mark.parametrize("fault", [without_memory, without_entry])
def test_a_closure_that_continues_after_an_error_gets_the_same_estimate(fault, problem, monkeypatch):
    model = problem.build(torch.float32)
    whole = MeZO(model, lr=0.0).estimate(problem.closure(model, 0))

    def careful():
        try:
            return problem.loss(model, 0)
        except torch.OutOfMemoryError:
            return problem.loss(model, 0)

    def closure():
        careful()
        return careful()

    failed, n = True, 0
    while failed:
        n += 1
        opt = MeZO(model, lr=0.0, check=False)
        with fault(n, monkeypatch) as failing:
            check_unmoved(model, lambda opt=opt: compare(opt.estimate(closure), whole))
        failed = failing.left <= 0
    assert n > len(list(model.parameters()))


def compare(estimate, whole):
    """Bit for bit."""
    assert torch.equal(estimate.projected_grad, whole.projected_grad)
    assert torch.equal(estimate.loss, whole.loss)
