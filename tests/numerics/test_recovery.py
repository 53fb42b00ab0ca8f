"""Tests of closures that recover from an error in a module: theta and the estimate are unaffected."""

import contextlib

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from addax import small_tensors
from addax.scratch import Scratch
from baselines.mezo import MeZO
from tests.numerics.oracle import MLP, OPT, TIED, check_unmoved

pytestmark = pytest.mark.usefixtures("both_sizes")

PROBLEMS = pytest.mark.parametrize("problem", [MLP, TIED, OPT], ids=lambda p: p.name)


class Failing:
    """A callable that raises an out-of-memory error at its n-th call only."""

    def __init__(self, n: int) -> None:
        self.remaining = n

    def __call__(self) -> None:
        """Count calls, and raise at the n-th."""
        self.remaining -= 1
        if self.remaining == 0:
            raise torch.OutOfMemoryError("none left")


@contextlib.contextmanager
def failing_allocation(n, monkeypatch):
    """Fail the n-th allocation of perturbed weights."""
    failing, take = Failing(n), Scratch.take
    with monkeypatch.context() as patch:
        patch.setattr(Scratch, "take", lambda *a, **k: failing() or take(*a, **k))
        yield failing


@contextlib.contextmanager
def failing_module_call(n, _monkeypatch):
    """Fail the n-th module call in a global hook, which runs before the module's hooks."""
    failing = Failing(n)
    handle = register_module_forward_pre_hook(lambda _module, _inputs: failing())
    yield failing
    handle.remove()


@pytest.mark.medium
@PROBLEMS
@pytest.mark.parametrize("fault", [failing_allocation, failing_module_call])
def test_a_closure_that_recovers_from_an_error_gets_the_same_estimate(fault, problem, monkeypatch):
    model = problem.build(torch.float32)
    expected = MeZO(model, lr=0.0).estimate(problem.closure(model, 0))

    def loss_with_retry():
        try:
            return problem.loss(model, 0)
        except torch.OutOfMemoryError:
            return problem.loss(model, 0)

    def closure():
        loss_with_retry()
        return loss_with_retry()

    failed, n = True, 0
    while failed:
        n += 1
        opt = MeZO(model, lr=0.0)
        with fault(n, monkeypatch) as failing:
            check_unmoved(model, lambda opt=opt: check_equal(opt.estimate(closure), expected))
        failed = failing.remaining <= 0
    # Small parameters take no scratch.
    assert n > len(list(model.parameters())) or (fault is failing_allocation and small_tensors.SMALL)


def check_equal(estimate, expected):
    """Check that two estimates are equal bit for bit."""
    assert torch.equal(estimate.projected_grad, expected.projected_grad)
    assert torch.equal(estimate.loss, expected.loss)
