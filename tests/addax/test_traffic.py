"""Tests of the bytes that torch's operators read and write per weight, where no fused kernels run."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from addax import noise
from addax.addax import Addax
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO

WEIGHTS = 1 << 18
# These operators do not read the memory that they write.
OVERWRITE = ("aten::normal_", "aten::random_", "aten::copy_", "aten::zero_", "aten::fill_")


class Traffic(TorchDispatchMode):
    """A counter of the bytes that operators on whole weights read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operator, and count the extents of its arguments and of its new results."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        returns = func._schema.returns
        if "empty" in func._schema.name or all(
            r.alias_info is not None and not r.alias_info.is_write for r in returns
        ):
            return out
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        written = kwargs.get("out", args[0] if func._schema.name.endswith("_") else None)
        for tensor in inputs:
            if tensor is not written or ("out" not in kwargs and func._schema.name not in OVERWRITE):
                self.bytes += extent(tensor)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.bytes += extent(tensor)
        return out


def extent(tensor: Tensor) -> int:
    """Return the bytes of a tensor of all weights, with those between its elements; 0 for other tensors."""
    return tensor.numel() * tensor.element_size() * tensor.stride(-1) if tensor.numel() >= WEIGHTS else 0


class Weights(nn.Module):
    """A model with one bfloat16 weight vector, whose gradient is given."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(WEIGHTS, dtype=torch.bfloat16))


@pytest.fixture(autouse=True)
def on_a_gpu_without_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the steps of a GPU for which triton is missing, on the CPU."""
    # The CPU draws the random bits of blocks of this size.
    monkeypatch.setattr(noise, "on_cpu", lambda device: False)
    monkeypatch.setattr(noise, "uses_kernels", lambda device: False)


def count(opt, **closures) -> float:
    """Return the bytes per weight of a step that does not measure the realized fraction."""
    opt.step(**closures)
    with Traffic() as traffic:
        opt.step(**closures)
    return traffic.bytes / WEIGHTS


def loss_of(model):
    """Return a closure whose forward reads the weights once, as 2 bytes per weight, and writes nothing."""
    return lambda: (model.theta[:2].float()).sum()


def test_a_mezo_step_moves_60_bytes_per_weight():
    """12 for each perturbation, and 36 for the update."""
    model = Weights()
    assert count(MeZO(model, lr=1e-3), zo_loss=loss_of(model)) <= 12 + 12 + 36


def test_an_update_with_a_gradient_moves_40_bytes_per_weight():
    model = Weights()
    opt = IPSGD(model, lr=1e-3)
    # Autograd writes the gradient of a slice, and accumulates it.
    with Traffic() as traffic:
        loss_of(model)().backward()
    model.zero_grad()
    assert count(opt, fo_loss=loss_of(model)) <= 40 + traffic.bytes / WEIGHTS


def test_addax_draws_its_direction_once_more_in_the_update():
    model = Weights()
    with Traffic() as traffic:
        loss_of(model)().backward()
    model.zero_grad()
    opt = Addax(model, lr=1e-3, alpha=0.5)
    found = count(opt, zo_loss=loss_of(model), fo_loss=loss_of(model))
    # The direction takes a draw, a product, and a sum: 4 + 8 + 12.
    assert found <= 12 + 12 + 40 + 24 + 4 + traffic.bytes / WEIGHTS
