"""Helpers for loading models with transformers: classes, logging, errors, tokenizers, checks of weights."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from addax.validation import TRAINABLE
from benchmarks.errors import UserError
from benchmarks.profiling.oom import is_out_of_memory

# These libraries log every retry, and warn about offloaded parameters even if the user requested offloading.
TALKATIVE = ("huggingface_hub", "accelerate")
# transformers reads this environment variable.
CONVERSION = "DISABLE_SAFETENSORS_CONVERSION"


def auto_class(masked: bool, head: str) -> Any:
    """Return the transformers Auto class for a model with this head."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

    if head == "classification":
        return AutoModelForSequenceClassification
    return AutoModelForMaskedLM if masked else AutoModelForCausalLM


def enable_checkpointing(model: Any) -> None:
    """Have a transformers model recompute activations in its backward pass."""
    # Older versions of transformers have the method under its second name only.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Silence transformers and the libraries it calls, and turn load failures into a `UserError`.

    The logging settings are restored on exit. Out-of-memory errors propagate unchanged.
    """
    from transformers.utils import logging as settings

    verbosity, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    levels = {logging.getLogger(library): logging.getLogger(library).level for library in TALKATIVE}
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    except UserError:
        raise
    # Damaged files can raise any exception, depending on the code that reads them first.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        message = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        local = Path(name).expanduser().is_dir()
        hint = (
            "is the folder complete?" if local else "without a network, use a built-in name or a local folder"
        )
        raise UserError(f"model {name}: cannot be read: {kind}{message} ({hint})") from error
    finally:
        settings.set_verbosity(verbosity)
        if bars:
            settings.enable_progress_bar()
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def without_conversion() -> Iterator[None]:
    """Keep transformers from converting a checkpoint in the `.bin` format while a run is timed.

    Otherwise it starts a thread that has the hub convert the checkpoint and downloads the result.
    """
    before = os.environ.get(CONVERSION)
    os.environ[CONVERSION] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CONVERSION]
        else:
            os.environ[CONVERSION] = before


def prepare_tokenizer(tokenizer: Any, masked: bool) -> None:
    """Set the padding and truncation sides, and a padding token from the vocabulary if there is none.

    No token is added, so the embeddings keep their size.
    """
    tokenizer.padding_side = tokenizer.truncation_side = "right" if masked else "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token


def set_labels(config: Any, head: str, num_labels: int | None) -> None:
    """Write the number of classes into a configuration.

    Raises:
        ValueError: `num_labels` is given without a classification head, or is missing with one.
    """
    if (head == "classification") != (num_labels is not None):
        raise ValueError(
            f"num_labels={num_labels} with head={head!r}: head='classification' requires num_labels, "
            "and other heads do not take it"
        )
    if num_labels is not None:
        config.num_labels = num_labels


def refuse_missing(name: str, model: Any, info: Mapping[str, Any], head: str) -> None:
    """Reject a model with missing or mismatched weights.

    Only a classification head and the pooler that feeds it may lack stored weights. An untrained
    language-model head would score noise.

    Args:
        name: the model's name.
        model: the loaded model.
        info: transformers' loading information.
        head: "lm" or "classification".

    Raises:
        UserError: other weights are missing, or stored weights have the wrong shape.
    """
    for key, stored, needed in sorted(info["mismatched_keys"]):
        raise UserError(
            f"model {name}: {key} has the stored shape {tuple(stored)}, but this run needs {tuple(needed)}: "
            "the config.json is from another model, or the head has a different number of classes"
        )
    missing = info["missing_keys"]
    body = model.base_model_prefix + "."
    if head == "classification":
        missing = [key for key in missing if key.startswith(body) and ".pooler." not in key]
    missing = sorted(missing)
    if missing:
        if not any(key.startswith(body) for key in missing):
            raise UserError(f"model {name}: it has no language-model head; use the classification head")
        raise UserError(
            f"model {name}: weights are missing: {', '.join(missing[:3])} ({len(missing)} in all)"
        )


def refuse_damaged(name: str, model: Any) -> None:
    """Reject a model whose weights are not finite, since it could not be trained and would score noise.

    Raises:
        UserError: a weight is NaN or infinite.
    """
    bad = []
    for key, p in model.named_parameters():
        # The extremes are NaN if any value is NaN, and computing them allocates almost nothing.
        if p.numel() and not p.is_meta and p.dtype in TRAINABLE:
            low, high = torch.aminmax(p.detach())
            if not (torch.isfinite(low) and torch.isfinite(high)):
                bad.append(key)
    if bad:
        raise UserError(
            f"model {name}: weights are not finite: {', '.join(bad[:3])} ({len(bad)} in all); "
            "its files are damaged"
        )
