"""Predict the peak memory of a training step by taking it on meta tensors and recording its allocations.

Cost: two steps without arithmetic: one allocates the scratch memory that noise keeps, and one is traced.
Memory: negligible, because meta tensors have no values.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from addax.memory.meta_kernels import KERNELS
from addax.memory.shape_only import scratch_buffers, shape_only
from addax.memory.step import TrainingStep
from addax.memory.tracer import KINDS, SCRATCH, Allocations, Phase, PhaseHooks, PhasePeaks
from addax.memory.workspaces import cublas_workspaces, temporaries
from addax.optimizer import Loss, Method

#: Allocation granularity in bytes. Allocators round sizes up to a multiple of it: 512 on CUDA, 1 on a CPU.
ALLOCATION_GRANULARITY = {"cpu": 1, "cuda": 512}
# The patches are process-wide, so only one trace may run at a time.
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Prediction:
    """The predicted peak memory of one step.

    Attributes:
        split: bytes at the peak, by kind (`KINDS`).
        phase: the phase of the step in which the peak occurs: (closure, stage, layer); see `PhaseHooks`.
    """

    split: Mapping[str, int]
    phase: Phase

    @classmethod
    def of(cls, peaks: PhasePeaks) -> "Prediction":
        """Return the prediction for the phase with the most bytes."""
        phase = max(peaks.bytes, key=lambda p: sum(peaks.bytes[p]))
        return cls(dict(zip(KINDS, peaks.bytes[phase], strict=True)), phase)

    @property
    def peak_bytes(self) -> int:
        """The peak in bytes, which is the sum of `split`."""
        return sum(self.split.values())


def predict_peak(
    build: Callable[[], tuple[nn.Module, Method]],
    closures_of: Callable[[Any], Mapping[str, Loss]],
    *,
    device: str = "cuda",
    capability: tuple[int, int] | None = None,
    patches: Iterable[AbstractContextManager[Any]] = (),
) -> Prediction:
    """Predict the peak memory of one step.

    Args:
        build: returns a model on the meta device and a method built from it. It is called twice.
        closures_of: takes the model and returns the closures by name. Tensors that the closures create are
            counted; tensors that already exist are not.
        device: the device whose allocations to predict, "cpu" or "cuda".
        capability, patches: see `trace_steps`.

    Returns:
        The bytes that torch has allocated at the peak. The CUDA context and gaps between allocations are not
        included.

    Raises:
        KeyError: if the device is unknown.
    """

    def build_step() -> TrainingStep:
        model, optimizer = build()
        return TrainingStep(model, optimizer, closures_of(model))

    (peaks,) = trace_steps([build_step], device, capability=capability, patches=patches)
    return Prediction.of(peaks)


def trace_steps(
    builds: Sequence[Callable[[], TrainingStep]],
    device: str,
    *,
    capability: tuple[int, int] | None = None,
    warm_up: Callable[[], TrainingStep] | None = None,
    patches: Iterable[AbstractContextManager[Any]] = (),
) -> list[PhasePeaks]:
    """Trace several training steps.

    Args:
        builds: each returns a training step on the meta device.
        device: the device whose allocations to predict, "cpu" or "cuda".
        capability: compute capability of the GPU, such as (8, 0) for an A100. It determines the size of
            cuBLAS's workspaces. None predicts the most that any GPU needs, so that a prediction depends
            neither on the machine that makes it nor on a card that is not known yet; cards before Hopper need
            48 MiB less.
        warm_up: returns a step that allocates the scratch memory that noise keeps between steps. Its largest
            trained parameter must be as large as the largest one of `builds`. None uses the first of
            `builds`.
        patches: contexts to enter during the traces, such as patches of the library that defines the model.

    Returns:
        The peaks of each step's phases.
    """
    # Random operators advance torch's generator even on meta tensors.
    with _LOCK, torch.random.fork_rng([]), ExitStack() as stack:
        for patch in (*patches, KERNELS[device]()):
            stack.enter_context(patch)
        # Noise keeps its scratch memory per thread, so a new thread starts without any.
        with ThreadPoolExecutor(1, thread_name_prefix="addax-memory") as threads:
            return threads.submit(_trace_all, builds, device, capability, warm_up or builds[0]).result()


def _trace_all(
    builds: Sequence[Callable[[], TrainingStep]],
    device: str,
    capability: tuple[int, int] | None,
    warm_up: Callable[[], TrainingStep],
) -> list[PhasePeaks]:
    with shape_only(device):
        step = warm_up()
        with Allocations([], ALLOCATION_GRANULARITY[device]):
            step.step()
        return [_trace(build(), device, capability) for build in builds]


def _trace(step: TrainingStep, device: str, capability: tuple[int, int] | None) -> PhasePeaks:
    resident, granularity = [*step.model.parameters(), *step.model.buffers()], ALLOCATION_GRANULARITY[device]
    if device == "cuda":
        allocations = Allocations(resident, granularity, temporaries)
        for size in cublas_workspaces(capability):
            allocations.add_bytes(size, SCRATCH)
    else:
        allocations = Allocations(resident, granularity)
    allocations.add(scratch_buffers(), SCRATCH)
    hooks = PhaseHooks(allocations, step.model, step.layers)
    step.closures = {name: hooks.around(name, closure) for name, closure in step.closures.items()}
    with allocations:
        step.step()
        # The first step may create state (moments, an anchor), and there may be other kinds of step.
        if step.optimizer.step_kinds > 1 or any(leaf.dim() for leaf in step.state()):
            step.step_every_kind()
    allocations.classify_as_state(step.state())
    return allocations.peaks()
