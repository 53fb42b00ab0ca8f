"""Checks of AddaxTrainer: reject settings that a step in place cannot follow, before any work starts.

Settings come from `TrainingArguments`, from environment variables that accelerate reads, from an accelerator
that is configured already, and from the method's own settings. `REJECTED` lists the training arguments that
have a single valid value, because any other value would be ignored or would give wrong results.
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn
from torch.optim import Optimizer
from transformers import Seq2SeqTrainingArguments, TrainingArguments

from addax.optimizer import Method

_METHOD = (
    "a method has its own settings: pass optimizer_cls_and_kwargs=(Addax, {...}), or use "
    "transformers.Trainer for the optimizers of torch"
)
_ADAM = "it configures AdamW: Adam of this repository takes its settings from optimizer_cls_and_kwargs"
_DTYPE = "training uses the dtype of the model: load it with dtype=torch."
_SHARDED = "AddaxTrainer runs one process on one device, and its model is not sharded"
_EVALUATION = (
    "an evaluation after training would convert the trained weights: load the model with dtype=torch."
)

#: Why a training argument must have its default value, except in `_VALID`.
REJECTED: dict[str, str] = {
    "optim": _METHOD,
    "optim_args": _METHOD,
    "optim_target_modules": "no method selects modules: freeze the others with requires_grad_(False)",
    "adam_beta1": _ADAM,
    "adam_beta2": _ADAM,
    "adam_epsilon": _ADAM,
    "weight_decay": "the methods do not read it",
    "max_grad_norm": "each gradient is dropped once it is complete, so gradients cannot be clipped",
    "gradient_accumulation_steps": (
        "a step updates in place, so it cannot accumulate batches: use larger batches"
    ),
    "fp16": _DTYPE + "float16",
    "bf16": _DTYPE + "bfloat16",
    "fp16_full_eval": _EVALUATION + "float16",
    "bf16_full_eval": _EVALUATION + "bfloat16",
    "use_liger_kernel": "its kernels have not been tested with steps that swap weights",
    "liger_kernel_config": "its kernels have not been tested with steps that swap weights",
    "auto_find_batch_size": "a step that runs out of memory may have changed some parameters",
    "enable_jit_checkpoint": (
        "a checkpoint requested during a step would contain its update but not count it: set save_steps"
    ),
    "torch_empty_cache_steps": "the cache is not emptied during a step",
    "fsdp": _SHARDED,
    "fsdp_config": _SHARDED,
    "deepspeed": _SHARDED,
    "parallelism_config": _SHARDED,
}
#: Valid values that differ from the default.
_VALID = {"max_grad_norm": 0}
#: Environment variables that accelerate or the Trainer would read or ignore: name -> (valid values, reason).
_ENVIRONMENT = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (("1",), REJECTED["gradient_accumulation_steps"]),
    "ACCELERATE_USE_FSDP": (("false", "0", "no"), _SHARDED),
    "ACCELERATE_USE_DEEPSPEED": (("false", "0", "no"), _SHARDED),
    "ACCELERATE_USE_MEGATRON_LM": (("false", "0", "no"), _SHARDED),
    "ACCELERATE_USE_PARALLELISM_CONFIG": (("false", "0", "no"), _SHARDED),
}


def check_arguments(args: TrainingArguments, record: tuple[Any, Any] | None = None) -> None:
    """Raise `ValueError` naming every training argument and environment variable that is not supported.

    Args:
        args: the arguments.
        record: the values of `optim` and `optim_args` by which AddaxTrainer has named its method.
    """
    defaults = {f.name: f.default for f in fields(TrainingArguments) if f.default is not MISSING}
    errors = []
    named = record is not None and (args.optim, args.optim_args) == record
    for name, why in REJECTED.items():
        if named and name in ("optim", "optim_args"):
            continue
        valid = _VALID.get(name, defaults.get(name))
        if name in defaults and (value := getattr(args, name)) != valid:
            errors.append(f"{name} must be {_text(valid)}, not {_text(value)} ({why})")
    if args.mixed_precision != "no" and not args.fp16 and not args.bf16:
        kind = args.mixed_precision
        dtype = "float16" if kind == "fp16" else "bfloat16"
        errors.append(f"ACCELERATE_MIXED_PRECISION must be no, not {kind} ({_DTYPE}{dtype})")
    for name, (values, why) in _ENVIRONMENT.items():
        if os.environ.get(name, values[0]).lower() not in values:
            errors.append(f"{name} must be {values[0]}, not {os.environ[name]} ({why})")
    if isinstance(args, Seq2SeqTrainingArguments):
        for f in fields(Seq2SeqTrainingArguments):
            if f.name not in defaults and f.default is not MISSING and getattr(args, f.name) != f.default:
                errors.append(f"{f.name} must be {_text(f.default)} (only Seq2SeqTrainer reads it)")
    if errors:
        raise ValueError("unsupported settings: " + "; ".join(errors))


def _text(value: object) -> str:
    return str(getattr(value, "value", value))


def check_accelerator(accelerator: Accelerator, args: TrainingArguments) -> None:
    """Raise `ValueError` if an accelerator distributes, whatever has configured it."""
    state = accelerator.state
    sharded = [kind for kind in ("deepspeed", "fsdp", "megatron_lm") if _plugin(state, kind) is not None]
    if getattr(accelerator, "parallelism_config", None) is not None:
        sharded.append("parallelism_config")
    if sharded:
        raise ValueError(
            f"unsupported settings: {' and '.join(sharded)} must be off ({_SHARDED}): start the script "
            "without `accelerate launch`, or with a configuration for one process"
        )
    if args.world_size > 1 or args.n_gpu > 1 or accelerator.distributed_type != DistributedType.NO:
        raise ValueError(
            f"AddaxTrainer runs one process on one device, but there are {args.world_size} processes with "
            f"{args.n_gpu} GPUs each: start it without a launcher and with one visible GPU "
            "(CUDA_VISIBLE_DEVICES=0), or load the model with a device_map"
        )


def _plugin(state: Any, kind: str) -> object:
    return getattr(state, f"{kind}_plugin", None)


def check_method(optimizer: Optimizer | None, cls_and_settings: Any) -> None:
    """Raise `ValueError` if the class of the method, or the name of a setting, cannot be used."""
    if optimizer is None:
        if not (isinstance(cls_and_settings, tuple | list) and len(cls_and_settings) == 2):
            raise ValueError(
                "optimizer_cls_and_kwargs must be a class and its settings, such as "
                f'(Addax, {{"alpha": 1e-3}}), not {cls_and_settings!r}'
            )
        method_class, settings = cls_and_settings
    else:
        method_class, settings = type(optimizer), {}
    if not (isinstance(method_class, type) and issubclass(method_class, Method)):
        name = getattr(method_class, "__name__", repr(method_class))
        raise ValueError(
            f"AddaxTrainer requires a subclass of addax.optimizer.Method, not {name}: "
            "use transformers.Trainer"
        )
    if "full_loss" in method_class.closures:
        raise ValueError(
            f"{method_class.__name__} takes full_loss, which the batches of a Trainer cannot provide: "
            "write a training loop"
        )
    _check_settings(method_class, settings)


def _check_settings(method_class: type[Method], settings: Any) -> None:
    if not isinstance(settings, Mapping):
        raise ValueError(
            f"the settings in optimizer_cls_and_kwargs must be a dict, not {type(settings).__name__}"
        )
    known = method_class.arguments()
    for name in settings:
        if name not in known:
            raise ValueError(
                f"{method_class.__name__} has no setting {name!r}{suggestion(str(name), known)}: "
                f"its settings are {', '.join(known)}"
            )


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a question with the closest known word, or an empty string if none is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_not_changed(args: TrainingArguments, snapshot: TrainingArguments) -> None:
    """Raise `ValueError` if the caller has changed the arguments, of which the trainer has a copy."""
    for f in fields(args):
        if getattr(args, f.name) != getattr(snapshot, f.name):
            raise ValueError(
                f"{f.name} of the TrainingArguments was changed after AddaxTrainer copied them: change "
                f"trainer.args.{f.name}"
            )


def check_pair(optimizers: Any) -> None:
    """Raise `ValueError` unless `optimizers` is a pair."""
    if not (isinstance(optimizers, tuple | list) and len(optimizers) == 2):
        raise ValueError(
            f"optimizers must be a pair (method, scheduler), not {type(optimizers).__name__}: pass "
            "optimizers=(method, None)"
        )


def check_optimizers(model: nn.Module, optimizer: Optimizer | None, scheduler: Any) -> None:
    """Raise `ValueError` if a ready-made method has another model, or a scheduler another optimizer."""
    parameters = {p for p in model.parameters() if p.requires_grad}
    if isinstance(optimizer, Method) and optimizer.indices.keys() != parameters:
        raise ValueError(
            f"the method in optimizers ({type(optimizer).__name__}) was built from another model, or "
            "before parameters were added or frozen: build it from the trainer's model"
        )
    if scheduler is not None and getattr(scheduler, "optimizer", None) is not optimizer:
        raise ValueError(
            f"the scheduler in optimizers ({type(scheduler).__name__}) belongs to another optimizer, so it "
            "would change no learning rate of the method: build both, and pass "
            "optimizers=(method, scheduler), or set lr_scheduler_type"
        )
