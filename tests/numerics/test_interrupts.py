"""Interrupts at every place of an estimate: parameters point where they did, and no forward is perturbed."""

import sys
from pathlib import Path

import pytest
import torch

import addax
from baselines.mezo import MeZO
from tests.numerics.oracle import TIED, bits

HERE = Path(addax.__file__).parent
FILES = {str(HERE / name) for name in ("spsa.py", "weight_swap.py", "scratch.py")}


class Interrupt:
    """Raises KeyboardInterrupt before the n-th instruction of the traced files, once."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.where = None

    def __call__(self, frame, event, _arg):
        """A trace function, see `sys.settrace`."""
        if frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


@pytest.mark.medium
@pytest.mark.parametrize("start", range(4))
def test_an_interrupt_anywhere_leaves_nothing_perturbed(start):
    """Every instruction is interrupted by one of the four tests."""
    model = TIED.build(torch.float32)
    before, places = bits(model), [p.data_ptr() for p in model.parameters()]
    alone = TIED.loss(model, 0)
    opt = MeZO(model, lr=0.0, check=False)
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
        assert [p.data_ptr() for p in model.parameters()] == places, interrupt.where
        assert torch.equal(TIED.loss(model, 0), alone), interrupt.where
        n += 4
    assert interrupted > 500
    assert bits(model) == before
