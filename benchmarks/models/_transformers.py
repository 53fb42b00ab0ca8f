"""What loading takes of transformers: its classes, a quiet log, one-line errors, tokenizer sides."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from addax.validation import TRAINABLE
from benchmarks.errors import UserError
from benchmarks.profiling.oom import is_out_of_memory

# They retry aloud and remark on offloaded parameters, which a user asked for.
TALKATIVE = ("huggingface_hub", "accelerate")


def auto_class(masked: bool, head: str) -> Any:
    """The transformers class that builds a model with this head."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

    if head == "classification":
        return AutoModelForSequenceClassification
    return AutoModelForMaskedLM if masked else AutoModelForCausalLM


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Inside, transformers is silent, what it calls too, and unreadable files are one `UserError`.

    Their settings are those of before afterwards. Memory that is out stays its own error.
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
    # Damaged files raise whatever the code that meets them first happens to raise.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        said = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        local = Path(name).expanduser().is_dir()
        hint = "is the folder whole?" if local else "without network use a built-in name or a local folder"
        raise UserError(f"model {name}: cannot be read: {kind}{said} ({hint})") from error
    finally:
        settings.set_verbosity(verbosity)
        if bars:
            settings.enable_progress_bar()
        for logger, level in levels.items():
            logger.setLevel(level)


def prepare_tokenizer(tokenizer: Any, masked: bool) -> None:
    """Sets sides and a padding token, which is never a new one: embeddings keep their size."""
    tokenizer.padding_side = tokenizer.truncation_side = "right" if masked else "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token


def set_labels(config: Any, head: str, num_labels: int | None) -> None:
    """Writes the number of classes into a configuration.

    Raises:
        ValueError: `num_labels` without a classification head, or the head without it.
    """
    if (head == "classification") != (num_labels is not None):
        raise ValueError(f"num_labels={num_labels} does not go with head={head!r}")
    if num_labels is not None:
        config.num_labels = num_labels


def refuse_missing(name: str, model: Any, info: Mapping[str, Any], head: str) -> None:
    """Only a classification head and the pooler that feeds it may start without stored weights.

    Args:
        name: the model's.
        model: as loaded.
        info: transformers' loading information.
        head: "lm" or "classification".

    Raises:
        UserError: the files lack anything else, as an untrained language-model head would score noise; or
            they hold weights of other shapes.
    """
    for key, stored, wanted in sorted(info["mismatched_keys"]):
        raise UserError(
            f"model {name}: {key} is stored as {tuple(stored)}, and this run makes it {tuple(wanted)}: "
            "the config.json is another model's, or the head has another number of classes"
        )
    missing = info["missing_keys"]
    body = model.base_model_prefix + "."
    if head == "classification":
        missing = [key for key in missing if key.startswith(body) and ".pooler." not in key]
    missing = sorted(missing)
    if missing:
        if not any(key.startswith(body) for key in missing):
            raise UserError(f"model {name}: no language-model head in it; use the classification head")
        raise UserError(
            f"model {name}: weights are missing: {', '.join(missing[:3])} ({len(missing)} in all)"
        )


def refuse_damaged(name: str, model: Any) -> None:
    """A model with NaN in it could not be trained, and would score noise without complaint.

    Raises:
        UserError: a weight is NaN or infinite.
    """
    bad = []
    for key, p in model.named_parameters():
        # The extremes are NaN where any value is, and take no memory.
        if p.numel() and not p.is_meta and p.dtype in TRAINABLE:
            low, high = torch.aminmax(p.detach())
            if not (torch.isfinite(low) and torch.isfinite(high)):
                bad.append(key)
    if bad:
        raise UserError(
            f"model {name}: weights are not finite: {', '.join(bad[:3])} ({len(bad)} in all); "
            "its files are damaged"
        )
