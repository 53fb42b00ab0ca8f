"""Helpers for loading models with transformers: classes, logging, errors, tokenizers, checks of weights."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from addax.validation import TRAINABLE
from benchmarks.errors import UserError
from benchmarks.models import _generic
from benchmarks.profiling.oom import is_out_of_memory

# These libraries log every retry, and warn about offloaded parameters even if the user requested offloading.
TALKATIVE = ("huggingface_hub", "accelerate")
# The names of heads.
HEADS = ("lm_head", "score", "classifier")
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
def quiet() -> Iterator[None]:
    """Silence transformers and the libraries it calls; restore the logging settings on exit."""
    from transformers.utils import logging as settings

    verbosity, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    levels = {logging.getLogger(library): logging.getLogger(library).level for library in TALKATIVE}
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        settings.set_verbosity(verbosity)
        if bars:
            settings.enable_progress_bar()
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Silence transformers and the libraries it calls, and turn load failures into a `UserError`.

    Out-of-memory errors propagate unchanged.
    """
    try:
        with quiet():
            yield
    except UserError:
        raise
    # Damaged files can raise any exception, depending on the code that reads them first.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if "trust_remote_code" in str(error):
            raise _generic.needs_code(f"model {name}") from None
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        message = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        # A hub model is read from its folder in the cache, after the download.
        raise UserError(f"model {name}: cannot be read: {kind}{message} (is the folder complete?)") from error


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
        # Masks hide padding, so that any token will do.
        word = tokenizer.convert_ids_to_tokens(0)
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or word


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
    if head == "classification":
        missing = [key for key in missing if in_body(model, key) and ".pooler." not in key]
    missing = sorted(missing)
    if missing:
        if not any(in_body(model, key) for key in missing):
            raise UserError(f"model {name}: it has no language-model head; use the classification head")
        raise UserError(
            f"model {name}: weights are missing: {', '.join(missing[:3])} ({len(missing)} in all)"
        )


def vocabulary_size(model: Any) -> int | None:
    """Return the number of a model's token embeddings; None for a model of characters, which hashes them."""
    try:
        return model.get_input_embeddings().num_embeddings
    except NotImplementedError:
        return None


def in_body(model: Any, key: str) -> bool:
    """Return whether a parameter belongs to a model's body, and not to its head, whose names vary.

    A model with its own code may have no module for the body. Its head then must have one of the usual names.
    """
    prefix = model.base_model_prefix
    if prefix and hasattr(model, prefix):
        return key.startswith(prefix + ".")
    return key.partition(".")[0] not in HEADS


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
