"""Peak memory of a training step, predicted without weights, a GPU, or the model's memory.

The method takes its step through the model's code on tensors without values, and every allocation is recorded
(`addax.memory`). Only a few layers are traced; the rest is extrapolated. Within one phase of the step (the
forward of one layer, the loss, the backward of one layer, ...) the live bytes follow one profile on top of a
base that is linear in the depth, so the peak of each phase is linear in the depth, too (up to one allocation
unit per parameter for the scalars that float16 keeps). The peak of the step is the maximum over the phases,
which is not linear. The trace verifies this: if the middle layer is not on the line through its neighbors,
the full depth is traced.

A GPU's kernels keep what torch's fused kernels keep. cuBLAS's workspace and memory that a kernel allocates
internally are not visible here.
"""

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

import torch

from addax import noise
from benchmarks import models
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.memory import cache as _prediction_cache
from benchmarks.memory._cpu_kernels import like_a_cpu
from benchmarks.memory._gpu_kernels import like_a_gpu
from benchmarks.memory.dry_step import Batches, DryStep, state_of
from benchmarks.memory.dry_step import synthetic as synthetic
from benchmarks.memory.tracer import KINDS, OUTSIDE, SCRATCH, Allocations, Phase, PhaseHooks, PhasePeaks
from benchmarks.models._trainable import layers
from benchmarks.profiling.peak_memory import run_in_thread

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Layers of the two traces that the rest is extended from, and how many of them are counted from either end.
SHALLOW, DEEPER, ENDS = 4, 5, 2
# Layers counted from the end are written as this number less what is left to it.
FAR = 1 << 20
# What a device's allocator rounds sizes up to: torch's CUDA allocator to 512 bytes; of a CPU's what was asked
# for counts.
ALLOCATION_GRANULARITY = {"cpu": 1, "cuda": 512}
KERNELS = {"cpu": like_a_cpu, "cuda": like_a_gpu}
# The device of tensors that have shapes and no values.
META = "meta"
# Answers are put into the mouths of libraries, for the whole process: one trace at a time does.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Prediction:
    """The peak of one step.

    Attributes:
        split: bytes of each of `KINDS` at the peak.
        piece: where in the step it is: (closure, phase, layer); see `PhaseHooks`.
    """

    split: Mapping[str, int]
    piece: Phase

    @property
    def peak_bytes(self) -> int:
        """Their sum."""
        return sum(self.split.values())


def predict(spec: RunSpec, batches: Batches, device: str) -> Prediction:
    """The peak of one step of a run.

    Args:
        spec: model, method, settings, task, dtype, head, scoring, parameters, gradient checkpointing and
            dropout.
        batches: what each closure sees: "zo", "fo", and "full" for a method with full-batch steps.
        device: "cpu" or "cuda": whose allocations.

    Raises:
        UserError: the model's configuration cannot be had.
    """
    return of_config(spec, models.shape_of(spec.model), batches, device)


def of_config(spec: RunSpec, config: "PreTrainedConfig", batches: Batches, device: str) -> Prediction:
    """As `predict`, for a model of this configuration whatever the spec's model is."""
    found = phase_peaks(spec, config, batches, device).bytes
    piece = max(found, key=lambda p: sum(found[p]))
    return Prediction(dict(zip(KINDS, found[piece], strict=True)), piece)


def phase_peaks(
    spec: RunSpec,
    config: "PreTrainedConfig",
    batches: Batches,
    device: str,
) -> PhasePeaks:
    """The pieces of a step at the model's full depth; kept on disk.

    Args:
        spec, config, batches, device: as of `of_config`.
    """
    key = _prediction_cache.key(spec, config, batches, device)
    if (held := _prediction_cache.read(key)) is not None:
        return held
    found = None
    depth = config.num_hidden_layers
    # Frozen layers and trained ones are two lines in the depth.
    if depth > DEEPER and not spec.trainable.startswith("last"):
        both = [_cut(config, n) for n in (SHALLOW, DEEPER)]
        found = extend(*traces(spec, both, batches, device), depth)
    if found is None:
        (found,) = traces(spec, [config], batches, device)
    _prediction_cache.write(key, found)
    return found


def _cut(config: "PreTrainedConfig", depth: int) -> "PreTrainedConfig":
    config = copy.deepcopy(config)
    config.num_hidden_layers = depth
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:depth]
    return config


def extend(shallow: PhasePeaks, deeper: PhasePeaks, depth: int) -> PhasePeaks | None:
    """Peaks at a depth from those at `SHALLOW` and `DEEPER` layers; None where they are not linear in it."""
    low, high = _from_the_ends(shallow, SHALLOW), _from_the_ends(deeper, DEEPER)
    middle = [key for key in high if key not in low]
    if low.keys() != high.keys() - set(middle):
        return None
    for closure, phase, _ in middle:
        before, own, after = (sum(deeper.bytes[closure, phase, ENDS + k]) for k in (-1, 0, 1))
        if before + after != 2 * own:
            return None
    found = {}
    for (closure, phase, layer), at_low in low.items():
        at_high = high[closure, phase, layer]
        layer = layer if layer < ENDS else layer - FAR + depth
        found[closure, phase, layer] = tuple(
            a + (depth - SHALLOW) * (b - a) for a, b in zip(at_low, at_high, strict=True)
        )
    return PhasePeaks(found)


def _from_the_ends(found: PhasePeaks, depth: int) -> dict[Phase, tuple[int, ...]]:
    """Peaks whose layers are counted from the nearer end; the one between them in a place of its own."""
    counted = {}
    for (closure, phase, layer), held in found.bytes.items():
        if phase != OUTSIDE and layer >= ENDS:
            layer = FAR + layer - depth if depth - layer <= ENDS else FAR // 2
        counted[closure, phase, layer] = held
    return counted


def traces(
    spec: RunSpec,
    configs: Sequence["PreTrainedConfig"],
    batches: Batches,
    device: str,
) -> list[PhasePeaks]:
    """The pieces of the steps that a method repeats, of models that differ in depth, each whole.

    Args:
        spec, batches, device: as of `pieces`.
        configs: of the models.

    Raises:
        UserError: the model or the method does what tensors without values cannot.
    """
    # Tensors without values draw numbers all the same.
    with _ALONE, torch.random.fork_rng([]), _answered(device):
        try:
            return run_in_thread(lambda: _traces(spec, configs, batches, device))
        except UserError:
            raise
        except Exception as error:
            said = (str(error).strip().splitlines() or ["no message"])[0]
            raise UserError(
                f"{spec.method} on {spec.model}: a step cannot be followed on tensors without values: "
                f"{type(error).__name__}: {said}"
            ) from error


@contextmanager
def _answered(device: str) -> Iterator[None]:
    """Inside, libraries are told what they would find out from tensors with values or of a device."""
    answers = {
        # Fused, Adam knows the devices that it runs on, for one of which this stands.
        "torch.optim.adam._device_dtype_check_for_fused": None,
        # Without a mask, transformers looks for several sequences in a row, and takes them for granted where
        # it cannot look: there is one in each, which needs no mask.
        "transformers.masking_utils.find_packed_sequence_indices": None,
        # Meta tensors are not to be asked what they hold.
        "transformers.masking_utils.is_tracing": True,
        "transformers.modeling_utils.is_tracing": True,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            # A Mock would keep the tensors that it is called with.
            stack.enter_context(mock.patch(name, lambda *_args, answer=answer: answer))
        stack.enter_context(KERNELS[device]())
        yield


def _traces(
    spec: RunSpec,
    configs: Sequence["PreTrainedConfig"],
    batches: Batches,
    device: str,
) -> list[PhasePeaks]:
    noise.outline(torch.device(META), device)
    allocation_granularity = ALLOCATION_GRANULARITY[device]
    # Noise's scratch stays from step to step, and takes a step of one layer to be made.
    with Allocations([], allocation_granularity):
        DryStep(spec, _cut(configs[0], 1), batches, META).step()
    return [_trace(DryStep(spec, config, batches, META), allocation_granularity) for config in configs]


def _trace(step: DryStep, allocation_granularity: int) -> PhasePeaks:
    model = step.model
    allocations = Allocations([*model.parameters(), *model.buffers()], allocation_granularity)
    allocations.has(noise.held(), SCRATCH)
    marks = PhaseHooks(allocations, model, layers(model))
    with allocations:
        step.step(marks.closure)
        if any(leaf.dim() for leaf in state_of(step.optimizer)):
            for _ in range(getattr(step.optimizer, "anchor_every", 1)):
                step.step(marks.closure)
    allocations.state(state_of(step.optimizer))
    return allocations.pieces()
