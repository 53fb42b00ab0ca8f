"""Tests that an interrupt at any instruction of an estimate leaves the parameters and the model intact."""

import sys
from pathlib import Path

import pytest
import torch

import addax
from baselines.mezo import MeZO
from tests.numerics.oracle import TIED, bits

pytestmark = pytest.mark.usefixtures("both_sizes")

HERE = Path(addax.__file__).parent
FILES = {
    str(HERE / f"{name}.py")
    for name in (
        "spsa",
        "weight_swap",
        "swap_hooks",
        "swap_units",
        "perturbation",
        "scratch",
        "forward_state",
    )
}


class Interrupt:
    """A trace function that raises KeyboardInterrupt before the n-th instruction of the traced files."""

    def __init__(self, n: int) -> None:
        self.remaining = n
        self.where = None

    def __call__(self, frame, event, _arg):
        """Count instructions; see `sys.settrace`."""
        if frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.remaining -= 1
            if self.remaining == 0:
                self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


@pytest.mark.medium
@pytest.mark.parametrize("start", range(4))
def test_an_interrupt_anywhere_leaves_nothing_perturbed(start):
    """Each of the four cases interrupts every fourth instruction; together they cover all instructions."""
    model = TIED.build(torch.float32)
    before, addresses = bits(model), [p.data_ptr() for p in model.parameters()]
    expected = TIED.loss(model, 0)
    opt = MeZO(model, lr=0.0)
    closure, interrupted, n = TIED.closure(model, 0), 0, start + 1
    tracing = sys.gettrace()
    while True:
        interrupt = Interrupt(n)
        sys.settrace(interrupt)
        try:
            opt.estimate(closure)
        except KeyboardInterrupt:
            interrupted += 1
        else:
            break
        finally:
            sys.settrace(tracing)
        assert [p.data_ptr() for p in model.parameters()] == addresses, interrupt.where
        assert torch.equal(TIED.loss(model, 0), expected), interrupt.where
        n += 4
    assert interrupted > 500
    assert bits(model) == before
