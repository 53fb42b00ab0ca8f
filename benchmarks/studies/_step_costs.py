"""The costs of a step: seconds, draws of z, passes over theta, and peak bytes.

A way that runs out of memory drops out, and the others are measured without it.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from addax import fused, noise
from benchmarks.profiling.oom import is_out_of_memory
from benchmarks.profiling.peak_memory import LiveBytes, run_in_thread
from benchmarks.studies._speed import interleaved
from benchmarks.studies._step_ways import Batches, Step, Way

OUT_OF_MEMORY = "out of memory"


class Counts(TorchDispatchMode):
    """A dispatch mode that counts draws of z and writes to theta, both in units of theta's size.

    What the noise and the fused kernels draw and write is counted where they are called; all other normals
    and writes are counted as operators.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.numel = sum(p.numel() for p in model.parameters())
        # Steps do not move theta, but while they evaluate a loss, parameters point at other memory.
        self.theta = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.drawn = self.written = 0
        self._in_noise = False

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
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._schema.name.startswith("aten::normal") and not self._in_noise:
            self.drawn += out.numel()
        arguments = func._schema.arguments
        given = {a.name: value for a, value in zip(arguments, args, strict=False)} | kwargs
        for argument in arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(given.get(argument.name)):
                    if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() in self.theta:
                        self.written += tensor.numel()
        return out

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count during the context."""
        block, blocks, perturb, update = noise.direction, noise.draw_first_blocks, fused.perturb, fused.update

        def count_drawn(draw: Callable[..., Any]) -> Callable[..., Any]:
            def drawing(*args: Any, **kwargs: Any) -> Any:
                self._in_noise = True
                try:
                    drawn = draw(*args, **kwargs)
                finally:
                    self._in_noise = False
                self.drawn += sum(z.numel() for z in tree_leaves(drawn))
                return drawn

            return drawing

        def count_perturbed(items: Sequence[tuple], *args: Any) -> None:
            self.drawn += sum(out.numel() for _, out, _ in items)
            perturb(items, *args)

        def count_updated(items: Sequence[tuple], *args: Any, **options: Any) -> None:
            numel = sum(theta.numel() for theta, *_ in items)
            self.drawn += numel * len(options["directions"])
            self.written += numel
            update(items, *args, **options)

        with (
            mock.patch.object(noise, "direction", count_drawn(block)),
            mock.patch.object(noise, "draw_first_blocks", count_drawn(blocks)),
            mock.patch.object(fused, "perturb", count_perturbed),
            mock.patch.object(fused, "update", count_updated),
            self,
        ):
            yield


class Attempt:
    """A step that is built at its first call, and that does nothing once memory has run out.

    Args:
        way: the way to take the step.
        model: its model, whose gradients are dropped if memory runs out.
    """

    def __init__(self, way: Way, model: nn.Module) -> None:
        self.way, self.model = way, model
        self.out_of_memory = False
        self._step: Step | None = None

    def __call__(self, batches: Batches) -> None:
        """Take the step, unless it has run out of memory before."""
        if self.out_of_memory:
            return
        try:
            self._step = self._step or self.way.build()
            self._step(batches)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.out_of_memory = True
        if self.out_of_memory:
            # Outside the handler, whose exception keeps the frames of the step alive.
            self.drop()
            free(self.model)

    def drop(self) -> None:
        """Forget the step and the state that it keeps."""
        self._step = None


def free(model: nn.Module) -> None:
    """Return unused memory, including that of gradients, to the device."""
    model.zero_grad()
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def measured(
    ways: Sequence[Way], model: nn.Module, batches: Sequence[Batches], device: torch.device
) -> dict[str, dict[str, Any]]:
    """Return the costs of each way by name, in the order of the ways.

    Ways without state are built together and take turns. A way that keeps state takes turns with the bare
    evaluations only, and its state is dropped before the next one is built.

    Args:
        ways: the ways of one part, the bare evaluations first.
        model: their model.
        batches: the batches of each step.
        device: the device of the model.
    """
    bare, *others = ways
    groups = [[bare, *(way for way in others if not way.keeps_state)]]
    groups += [[bare, way] for way in others if way.keeps_state]
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        found = _measured_together(group, model, batches, device) | found
    return {way.name: found[way.name] for way in ways}


def _measured_together(
    ways: Sequence[Way], model: nn.Module, batches: Sequence[Batches], device: torch.device
) -> dict[str, dict[str, Any]]:
    attempts = {way.name: Attempt(way, model) for way in ways}
    counts = {name: costs_of(work, model, batches[0], device) for name, work in attempts.items()}
    times = interleaved(attempts, batches, device)
    bare = attempts[ways[0].name]
    found = {}
    for name, attempt in attempts.items():
        if attempt.out_of_memory:
            found[name] = {"seconds": None, "reason": OUT_OF_MEMORY}
            continue
        seconds = median(times[name])
        pairs = list(zip(times[name], times[bare.way.name], strict=True))
        beyond = median(a - b for a, b in pairs) if attempt.way.evaluates else seconds
        relative = {"beyond_seconds": beyond, "bare_ratio": median(a / b for a, b in pairs)}
        if bare.out_of_memory:
            relative = dict.fromkeys(relative)
        found[name] = {"seconds": seconds, **relative, **counts[name]}
    for attempt in attempts.values():
        attempt.drop()
    free(model)
    return found


def costs_of(work: Step, model: nn.Module, batches: Batches, device: torch.device) -> dict[str, Any]:
    """Return the draws, passes, and peak bytes of a step, after one uncounted step.

    The step runs on one thread, because a dispatch mode is only active in the thread that entered it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work(batches)
        counts = Counts(model)
        with counts.counting():
            work(batches)
        peak = _peak(work, model, batches, device)
    finally:
        torch.set_num_threads(threads)
    return {"draws": counts.draws, "passes": counts.passes, "peak_bytes": peak}


def _peak(work: Step, model: nn.Module, batches: Batches, device: torch.device) -> int:
    """Return the peak bytes that a step allocates, without theta and the optimizer's state."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work(batches)
        return torch.cuda.max_memory_allocated(device) - before

    def measure_peak() -> int:
        with LiveBytes([*model.parameters()]) as tracker:
            before = tracker.live
            work(batches)
        return tracker.peak - before

    # A new thread has no scratch memory left over from larger tensors.
    return run_in_thread(measure_peak)
