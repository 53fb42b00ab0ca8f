"""Prediction of a training step's peak memory, without weights, a GPU, or the memory that the model needs.

The method runs its step through the model's code on tensors without values, and every allocation is recorded
(`addax.memory`). Only a few layers are traced; the rest is extrapolated. Within one phase of the step (the
forward of one layer, the loss, the backward of one layer, ...) the live bytes follow one profile on top of a
base that is linear in the depth. The peak of each phase is therefore linear in the depth, too (up to one
allocation unit per parameter for the scalars that float16 keeps). The peak of the step is the maximum over
the phases, which is not linear. The linearity is checked: if the middle layer is not on the line through its
neighbors, the full depth is traced.

On a GPU, the prediction assumes torch's fused kernels. It includes cuBLAS's workspaces and the buffers of
attention's backward pass (`addax.memory.workspaces`), but no other memory that a kernel allocates internally.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING
from unittest import mock

from addax.hf_meta import transformers_on_meta
from addax.memory import PhasePeaks, Prediction, TrainingStep, trace_steps
from addax.memory.tracer import OUTSIDE, Phase
from benchmarks import models
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.memory import cache
from benchmarks.memory.dry_step import Batches, DryStep
from benchmarks.memory.dry_step import synthetic as synthetic
from benchmarks.models._generic import depth_field

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# The depths of the two traces to extrapolate from, and the number of layers at each end that keep their
# position.
SHALLOW, DEEPER, ENDS = 4, 5, 2
# Layers at the output end are numbered FAR + layer - depth.
FAR = 1 << 20


def predict(spec: RunSpec, batches: Batches, device: str) -> Prediction:
    """Predict the peak of one step of a run.

    Args:
        spec: model, method, settings, task, dtype, head, scoring, trainable weights, gradient checkpointing,
            and dropout.
        batches: each closure's batch: "zo", "fo", and "full" for a method with full-batch steps.
        device: the device whose allocations to predict, "cpu" or "cuda". For "cuda", the prediction is the
            same on every machine, and holds for every GPU (see `trace_steps`).

    Raises:
        UserError: the model's configuration is not available, or the step cannot be traced.
    """
    return of_config(spec, models.shape_of(spec.model, spec.trust_remote_code), batches, device)


def of_config(
    spec: RunSpec,
    config: "PreTrainedConfig",
    batches: Batches,
    device: str,
    capability: tuple[int, int] | None = None,
) -> Prediction:
    """Predict the peak of one step like `predict`, with this configuration instead of the spec's model.

    Args:
        spec, batches, device: see `predict`.
        config: the model's configuration.
        capability: compute capability of the GPU; None for the most that any GPU needs.
    """
    return Prediction.of(phase_peaks(spec, config, batches, device, capability))


def phase_peaks(
    spec: RunSpec,
    config: "PreTrainedConfig",
    batches: Batches,
    device: str,
    capability: tuple[int, int] | None = None,
) -> PhasePeaks:
    """Return the peak of each phase of a step at the model's full depth, from the disk cache if possible.

    Args:
        spec, config, batches, device, capability: see `of_config`.
    """
    key = cache.key(spec, config, batches, device, capability)
    if (cached := cache.read(key)) is not None:
        return cached
    found = None
    field = depth_field(config)
    depth = getattr(config, field) if field else 0
    # The peaks are not linear in the depth if layers differ, or if only some are trained, as by an adapter.
    if depth > DEEPER and not spec.trainable.startswith(("last", "adapter")) and not _mixes_layers(config):
        shallow_configs = [_cut(config, n) for n in (SHALLOW, DEEPER)]
        found = extend(*traces(spec, shallow_configs, batches, device, capability), depth)
    if found is None:
        (found,) = traces(spec, [config], batches, device, capability)
    cache.write(key, found)
    return found


def _cut(config: "PreTrainedConfig", depth: int) -> "PreTrainedConfig":
    config = copy.deepcopy(config)
    field = depth_field(config)
    before = getattr(config, field) if field else None
    for name, value in list(vars(config).items()):
        # Lists such as `layer_types` have an entry for each layer.
        if isinstance(value, (list, tuple)) and len(value) == before and before > 1:
            setattr(config, name, value[:depth])
    if field:
        setattr(config, field, depth)
    return config


def _mixes_layers(config: "PreTrainedConfig") -> bool:
    """Return whether a model has layers of several kinds, such as local and global attention."""
    return len(set(getattr(config, "layer_types", None) or ())) > 1


def extend(shallow: PhasePeaks, deeper: PhasePeaks, depth: int) -> PhasePeaks | None:
    """Extrapolate peaks from `SHALLOW` and `DEEPER` layers to a depth; None if they are not linear in it."""
    low, high = _renumber(shallow, SHALLOW), _renumber(deeper, DEEPER)
    middle = [key for key in high if key not in low]
    if low.keys() != high.keys() - set(middle):
        return None
    for closure, stage, _ in middle:
        before, center, after = (sum(deeper.bytes[closure, stage, ENDS + k]) for k in (-1, 0, 1))
        if before + after != 2 * center:
            return None
    found = {}
    for (closure, stage, layer), at_low in low.items():
        at_high = high[closure, stage, layer]
        layer = layer if layer < ENDS else layer - FAR + depth
        found[closure, stage, layer] = tuple(
            a + (depth - SHALLOW) * (b - a) for a, b in zip(at_low, at_high, strict=True)
        )
    return PhasePeaks(found)


def _renumber(found: PhasePeaks, depth: int) -> dict[Phase, tuple[int, ...]]:
    """Number layers from the nearer end. The middle layer gets a number that neither end uses."""
    counted = {}
    for (closure, stage, layer), sizes in found.bytes.items():
        if stage != OUTSIDE and layer >= ENDS:
            layer = FAR + layer - depth if depth - layer <= ENDS else FAR // 2
        counted[closure, stage, layer] = sizes
    return counted


def traces(
    spec: RunSpec,
    configs: Sequence["PreTrainedConfig"],
    batches: Batches,
    device: str,
    capability: tuple[int, int] | None = None,
) -> list[PhasePeaks]:
    """Trace one step of each of several models that differ in depth, without extrapolation.

    Args:
        spec, batches, device, capability: see `phase_peaks`.
        configs: the models' configurations.

    Raises:
        UserError: the model or the method performs an operation that needs the tensors' values.
    """

    def build(config: "PreTrainedConfig") -> Callable[[], TrainingStep]:
        return lambda: DryStep(spec, config, batches, "meta")

    try:
        return trace_steps(
            [build(config) for config in configs],
            device,
            capability=capability,
            # One layer is enough to allocate the scratch for noise, because the embeddings are the largest
            # parameters.
            warm_up=build(_cut(configs[0], 1)),
            patches=[transformers_on_meta(), *([_foreach_on_meta()] if device == "cuda" else [])],
        )
    except UserError:
        raise
    except Exception as error:
        message = (str(error).strip().splitlines() or ["no message"])[0]
        raise UserError(
            f"{spec.method} on {spec.model}: a step cannot be traced on tensors without values: "
            f"{type(error).__name__}: {message}"
        ) from error


def _foreach_on_meta() -> AbstractContextManager:
    """Patch torch's choice of an optimizer's form. A GPU updates all parameters at once, with temporaries."""
    name = "torch.optim.optimizer._get_foreach_kernels_supported_devices"
    return mock.patch(name, return_value=["meta", "cuda"])
