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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from addax.memory import PhasePeaks, Prediction, TrainingStep, trace_steps
from addax.memory.tracer import OUTSIDE, Phase
from benchmarks import models
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.memory import cache
from benchmarks.memory.dry_step import Batches, DryStep
from benchmarks.memory.dry_step import synthetic as synthetic

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Layers of the two traces that the rest is extended from, and how many of them are counted from either end.
SHALLOW, DEEPER, ENDS = 4, 5, 2
# Layers counted from the end are written as this number less what is left to it.
FAR = 1 << 20


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
    return Prediction.of(phase_peaks(spec, config, batches, device))


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
    key = cache.key(spec, config, batches, device)
    if (held := cache.read(key)) is not None:
        return held
    found = None
    depth = config.num_hidden_layers
    # Frozen layers and trained ones are two lines in the depth.
    if depth > DEEPER and not spec.trainable.startswith("last"):
        both = [_cut(config, n) for n in (SHALLOW, DEEPER)]
        found = extend(*traces(spec, both, batches, device), depth)
    if found is None:
        (found,) = traces(spec, [config], batches, device)
    cache.write(key, found)
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
    """Trace the steps of models that differ in depth, each in full.

    Args:
        spec, batches, device: as for `phase_peaks`.
        configs: the models' configurations.

    Raises:
        UserError: the model or the method does what tensors without values cannot.
    """

    def build(config: "PreTrainedConfig") -> Callable[[], TrainingStep]:
        return lambda: DryStep(spec, config, batches, "meta")

    try:
        return trace_steps(
            [build(config) for config in configs],
            device,
            # One layer is enough to allocate noise's scratch: the largest parameters are the embeddings.
            warm_up=build(_cut(configs[0], 1)),
            patches=[_transformers_on_meta()],
        )
    except UserError:
        raise
    except Exception as error:
        message = (str(error).strip().splitlines() or ["no message"])[0]
        raise UserError(
            f"{spec.method} on {spec.model}: a step cannot be followed on tensors without values: "
            f"{type(error).__name__}: {message}"
        ) from error


@contextmanager
def _transformers_on_meta() -> Iterator[None]:
    """Answer what transformers' masking functions would look up in a tensor's values."""
    answers = {
        # Without a mask, transformers looks for several sequences in a row, and assumes them if it cannot
        # look. There is one per row, which needs no mask.
        "transformers.masking_utils.find_packed_sequence_indices": None,
        # While tracing, transformers does not look at values.
        "transformers.masking_utils.is_tracing": True,
        "transformers.modeling_utils.is_tracing": True,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            # A Mock would keep the tensors that it is called with.
            stack.enter_context(mock.patch(name, lambda *_args, answer=answer: answer))
        yield
