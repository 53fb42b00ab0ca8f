"""The costs of a step other than time: draws of z, passes over theta, and peak bytes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.profiling.peak_memory import LiveBytes, run_in_thread

Step = Callable[[Tensor], object]


class Counts(TorchDispatchMode):
    """A dispatch mode that counts normal draws and writes to theta, both in units of theta's size."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.numel = sum(p.numel() for p in model.parameters())
        # Steps do not move theta, but while they evaluate a loss, parameters point at other memory.
        self.theta = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.drawn = self.written = 0

    @property
    def draws(self) -> float:
        """Number of draws of z."""
        return self.drawn / self.numel

    @property
    def passes(self) -> float:
        """Number of passes over theta."""
        return self.written / self.numel

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operator, and count the elements that it draws and writes."""
        out = func(*args, **(kwargs or {}))
        if func._schema.name.startswith("aten::normal"):
            self.drawn += out.numel()
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(value):
                    self.written += tensor.numel() * (tensor.untyped_storage().data_ptr() in self.theta)
        return out


def costs_of(work: Step, model: nn.Module, batch: Tensor, device: torch.device) -> dict:
    """Return the draws, passes, and peak bytes of a step, after one uncounted step.

    The step runs on one thread, because a dispatch mode is only active in the thread that entered it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work(batch)
        with Counts(model) as counts:
            work(batch)
        peak = _peak(work, model, batch, device)
    finally:
        torch.set_num_threads(threads)
    return {"draws": counts.draws, "passes": counts.passes, "peak_bytes": peak}


def _peak(work: Step, model: nn.Module, batch: Tensor, device: torch.device) -> int:
    """Return the peak bytes that a step allocates, without theta and the optimizer's state."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work(batch)
        return torch.cuda.max_memory_allocated(device) - before

    def measure_peak() -> int:
        with LiveBytes([*model.parameters()]) as tracker:
            before = tracker.live
            work(batch)
        return tracker.peak - before

    # A new thread has no scratch memory left over from larger tensors.
    return run_in_thread(measure_peak)
