"""The length threshold of AddaxTrainer for a memory budget: `length_threshold="auto:24GB"`.

    L_T = max { n : peak( B0 = the K0 longest examples, B1 = the K1 longest examples of at most n tokens )
                    + reserve <= budget }

The peak is predicted (`addax.memory`): the trainer's method takes a step on a copy of the model on the meta
device, with `compute_loss`, the data collator, activation checkpointing, and the dtypes of the trainer. If a
step fits with B1 = the K1 longest of all examples, there is no threshold (Addax-WA).

Cost: two steps without arithmetic per length tried; the lengths tried are found by bisection.
Memory: negligible.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from addax import units
from addax.assignment import LengthThreshold
from addax.hf_meta import transformers_on_meta
from addax.memory import predict_peak
from addax.memory.predict import ALLOCATION_GRANULARITY
from addax.optimizer import Method

if TYPE_CHECKING:
    from addax.hf_trainer import AddaxTrainer

# A collated batch and its number of labels, on the meta device.
Batch = tuple[Mapping[str, Any], Any]


def choose_length_threshold(
    trainer: "AddaxTrainer", threshold: LengthThreshold, lengths: Sequence[int]
) -> int | None:
    """Return the largest L_T at which a step of a trainer fits in a memory budget.

    Args:
        trainer: the trainer, with its model, data, and collator.
        threshold: the threshold, which has an amount of memory.
        lengths: the lengths of the training examples, in tokens.

    Returns:
        One of the lengths, or None if a step fits without a threshold.

    Raises:
        ValueError: if a step does not fit at any L_T, or if it cannot be predicted.
    """
    where = f"length_threshold={threshold}"
    _check(trainer, where)
    device = trainer.args.device.type
    reserve = units.reserve(device)
    usable = units.parse_bytes(threshold.memory, "length_threshold") - reserve
    unit = units.unit_of(threshold.memory)
    peaks = []

    def fits(tokens: int) -> bool:
        peaks.append(peak_bytes(trainer, lengths, tokens))
        return peaks[-1] <= usable

    try:
        return threshold.resolve(lengths, fits)
    except Unpredictable as error:
        raise ValueError(
            f"{where}: a step of {type(trainer.model).__name__} cannot be taken on tensors without values "
            f"({error}): set length_threshold in tokens (170) or as a quantile (q0.7)"
        ) from error
    except ValueError as error:
        kept = f" and {units.format_bytes(reserve, unit)} for the CUDA context" if reserve else ""
        raise ValueError(
            f"{where}: {error}; a step needs {units.format_bytes(min(peaks), unit)}{kept}: reduce "
            "per_device_train_batch_size or zo_batch_size, or turn on activation checkpointing"
        ) from None


class Unpredictable(Exception):
    """Error for a step that fails on meta tensors; its message is the reason."""


def peak_bytes(trainer: "AddaxTrainer", lengths: Sequence[int], tokens: int) -> int:
    """Return the predicted peak of a trainer's heaviest step, with its batches, in bytes.

    Args:
        trainer: the trainer; its `train_dataset` holds all examples.
        lengths: the lengths of the examples, in tokens.
        tokens: the largest number of tokens of an example in B1.

    Raises:
        Unpredictable: if the step cannot be taken on meta tensors.
    """
    ranked = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    short = [i for i in ranked if lengths[i] <= tokens]
    try:
        batches = {
            "zo_loss": _batch(trainer, ranked[: trainer.zo_batch_size]),
            "fo_loss": _batch(trainer, short[: trainer.args.per_device_train_batch_size]),
        }
        found = predict_peak(
            partial(_meta_copy, trainer),
            partial(_closures, trainer, batches),
            device=trainer.args.device.type,
            patches=[transformers_on_meta()],
        )
    # The collator, the model, and the loss are a user's code, which can raise any exception.
    except Exception as error:
        message = (str(error).strip().splitlines() or ["no message"])[0]
        raise Unpredictable(f"{type(error).__name__}: {message}") from error
    # Both batches are on the device during the whole step.
    return found.peak_bytes + sum(leaf.nbytes for leaf in tree_leaves(batches) if isinstance(leaf, Tensor))


def _check(trainer: "AddaxTrainer", where: str) -> None:
    """Raise `ValueError` if a prediction would not hold for a trainer's steps."""
    model, args = trainer.model, trainer.args
    instead = "set length_threshold in tokens (170) or as a quantile (q0.7)"
    if args.device.type not in ALLOCATION_GRANULARITY:
        raise ValueError(
            f"{where}: memory is predicted for CPUs and CUDA GPUs, not for {args.device.type}: {instead}"
        )
    if getattr(model, "is_quantized", False) or getattr(model, "hf_quantizer", None) is not None:
        raise ValueError(f"{where}: the memory of quantized weights cannot be predicted: {instead}")
    if len({p.device for p in model.parameters()}) > 1 or getattr(trainer, "is_model_parallel", False):
        raise ValueError(f"{where}: the model is spread over several devices: {instead}")
    if args.torch_compile or hasattr(model, "_orig_mod"):
        raise ValueError(f"{where}: the memory of a compiled model cannot be predicted: {instead}")
    for name, p in model.named_parameters():
        if type(p) is not nn.Parameter:
            raise ValueError(f"{where}: {name} is a {type(p).__name__}, which has no copy on meta: {instead}")


def _batch(trainer: "AddaxTrainer", indices: Sequence[int]) -> Batch:
    """Collate training examples as the trainer does; return the batch and its number of labels on meta."""
    collate = trainer._get_collator_with_removed_columns(trainer.data_collator)
    batch = collate([trainer.train_dataset[i] for i in indices])
    (batch,), labels = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    return tree_map(_on_meta, ({**batch}, labels))


def _on_meta(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


def _meta_copy(trainer: "AddaxTrainer") -> tuple[nn.Module, Method]:
    """Return a copy of the trainer's model without values, and the trainer's method built from the copy."""
    model, memo = trainer.model, {}
    for p in model.parameters():
        memo[id(p)] = nn.Parameter(_on_meta(p.detach()), requires_grad=p.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = _on_meta(buffer)
    # Groups of parameters in the settings refer to the parameters of the model.
    found, optimizer, given = copy.deepcopy(
        (model, trainer.optimizer, trainer.optimizer_cls_and_kwargs), memo
    )
    for module in found.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                # A tensor that is neither a parameter nor a buffer.
                vars(module)[name] = _on_meta(value)
    _enable_checkpointing(found, trainer.args)
    if optimizer is None:
        return found, trainer._build(found, given)
    optimizer.follow()
    return found, optimizer


def _enable_checkpointing(model: nn.Module, args: Any) -> None:
    """Have a model recompute activations if the training arguments say so, as `Trainer.train` does."""
    # Older versions of transformers have the argument and the method under the second name only.
    name = (
        "activation_checkpointing" if hasattr(args, "activation_checkpointing") else "gradient_checkpointing"
    )
    if not getattr(args, name):
        return
    settings = dict(getattr(args, f"{name}_kwargs") or {})
    choices = {key: settings.pop(key) for key in ("every_n_layers", "offload") if key in settings}
    if not hasattr(model, f"{name}_enable"):
        name = "gradient_checkpointing"
    getattr(model, f"{name}_enable")(**{f"{name}_kwargs": settings or None}, **choices)


def _closures(
    trainer: "AddaxTrainer", batches: Mapping[str, Batch], model: nn.Module
) -> dict[str, Callable[[], Tensor]]:
    """Return the closures of a step on a model's copy, like those of `AddaxTrainer.training_step`."""
    model.train()
    return {name: trainer._loss_of(model, *batch) for name, batch in batches.items()}
