"""Models: one file per family, each of which defines one `FAMILY`.

A model name is a built-in name (`nano-opt`, `smollm2-135m`), a local folder in the layout of transformers, or
a hub name (`facebook/opt-13b`, `facebook/opt-13b@REVISION`). The family follows from `config.model_type`.
Types without a family file get theirs from `benchmarks.models._generic`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks import registry
from benchmarks.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Head = Literal["lm", "classification"]

WEIGHTS = Path(__file__).parent / "weights"
MAX_LENGTH = 2048
HEAD_SEED = 0


def _positions(config: "PreTrainedConfig") -> int:
    # Architectures without a table of positions (state-space models, ALiBi) have no such field, or -1 in it.
    count = getattr(config, "max_position_embeddings", None)
    return count if count is not None and count > 0 else MAX_LENGTH


@dataclass(frozen=True)
class Family:
    """A model architecture, described for the harness.

    Attributes:
        name: the family's name in tables.
        masked: whether it is a masked language model (prompts end in the mask token) or a causal one.
        model_types: the values of `config.model_type` that belong to the family.
        builtin: model names that need no hub; their weights come with the repository or from `_fetch`.
        nano: tokenizer -> configuration of the family's nano model; None without one.
        positions: config -> the longest sequence that the architecture accepts, in tokens.
        heads: the heads that the architecture has.
    """

    name: str
    masked: bool
    model_types: tuple[str, ...]
    builtin: tuple[str, ...]
    nano: "Callable[[PreTrainedTokenizerBase], PreTrainedConfig] | None" = None
    positions: "Callable[[PreTrainedConfig], int]" = _positions
    heads: tuple[Head, ...] = ("lm", "classification")


@dataclass
class LoadedModel:
    """A model ready for fine-tuning.

    Attributes:
        model: in train() mode; None from `load_tokenizer`.
        tokenizer: pads and truncates on the left for causal models, and on the right for masked models.
        family: the model's family.
        name: the name under which the model was requested.
        max_length: the smaller of 2048 and the longest sequence that the model accepts, in tokens.
        new_weights: names of the weights that were not stored, such as those of a new classification head.
    """

    model: "torch.nn.Module"
    tokenizer: "PreTrainedTokenizerBase"
    family: Family
    name: str
    max_length: int
    new_weights: tuple[str, ...] = ()


@cache
def families() -> dict[str, Family]:
    """Return every family by file name."""
    found = {name: registry.module("model", name).FAMILY for name in registry.files("model")}
    for name, family in found.items():
        if not isinstance(family, Family):
            raise UserError(
                f"{registry.path('model', name)}: FAMILY is a {type(family).__name__}, not a Family"
            )
    return found


def builtin() -> dict[str, Family]:
    """Return every built-in model name with its family."""
    return {name: family for family in families().values() for name in family.builtin}


def family_of(
    model_type: str,
    where: str,
    config: "PreTrainedConfig | Mapping[str, Any] | None" = None,
    trust_remote_code: bool = False,
) -> Family:
    """Return the family of a `config.model_type`: of its family file or, without one, a generic family.

    Args:
        model_type: the value from the configuration.
        where: the source of the configuration, for the error message.
        config: the configuration, or the content of its file. It decides whether a type that can be both is
            a masked or a causal LM.
        trust_remote_code: whether the model's own code may run.

    Raises:
        UserError: the type is unknown, or the harness cannot train its models; see `_generic.family`.
    """
    from benchmarks.models import _generic

    config = {"model_type": model_type} if config is None else config
    if not _generic.has_code(config, trust_remote_code):
        for family in families().values():
            if model_type in family.model_types:
                return family
    return _generic.family(config, where, trust_remote_code)


# These modules need the definitions above.
from benchmarks.models._loading import build, load, load_config, load_tokenizer, shape_of  # noqa: E402
from benchmarks.models._names import (  # noqa: E402
    check,
    commit_of,
    has_head,
    hub_model,
    known_family,
    may_have_code,
    source,
)

__all__ = [
    "Family",
    "Head",
    "LoadedModel",
    "build",
    "builtin",
    "check",
    "commit_of",
    "families",
    "family_of",
    "has_head",
    "hub_model",
    "known_family",
    "load",
    "load_config",
    "load_tokenizer",
    "may_have_code",
    "shape_of",
    "source",
]
