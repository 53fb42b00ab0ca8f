"""Tests of the steps of every method on a GPU: they do not synchronize, and parameters do not drift."""

import pytest
import torch

from benchmarks.registry import files
from tests.baselines.test_methods import class_of
from tests.gpu.conftest import NEEDS_CUDA
from tests.numerics.oracle import MLP

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
CUDA = torch.device("cuda", 0)


@pytest.fixture
def forbid_synchronization():
    """Return a function that makes every later wait for the device an error, until the test ends."""
    before = torch.cuda.get_sync_debug_mode()
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode(before)


@DTYPES
@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS_CUDA) for name in sorted(files("method"))])
def test_steps_do_not_synchronize_with_the_gpu(name, dtype, forbid_synchronization):
    model = MLP.build(dtype).to(CUDA)
    opt = class_of(name)(model, lr=1e-3)
    x = torch.randn(6, 5, device=CUDA, dtype=dtype)
    closures = dict.fromkeys(opt.closures, lambda: model(x).float().square().mean())
    # The first step may wait: it checks for weights used outside their modules, and for MeZO-SVRG it is an
    # anchor step.
    opt.step(**closures)
    forbid_synchronization()
    opt.step(**closures)


@DTYPES
@pytest.mark.parametrize("name", sorted(n for n in files("method") if "zo_loss" in class_of(n).closures))
def test_zero_steps_leave_parameters_bit_identical(gpu, name, dtype):
    model = MLP.build(dtype).to(gpu.place)
    opt = class_of(name)(model, lr=0.0)
    x = torch.randn(6, 5, device=gpu.place, dtype=dtype)
    before = [p.detach().clone().view(torch.uint8) for p in model.parameters()]
    for _ in range(3):
        opt.step(**dict.fromkeys(opt.closures, lambda: model(x).float().square().mean()))
    for p, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(p.detach().view(torch.uint8), old)
