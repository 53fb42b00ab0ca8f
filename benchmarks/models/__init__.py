"""Models: one file a family, each binding one `FAMILY`.

A model name is built in (`nano-opt`, `smollm2-135m`), a local folder in the layout of
transformers, or a hub name (`facebook/opt-13b`). Its family follows from `config.model_type`.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks import registry
from benchmarks.errors import UserError, unknown

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Head = Literal["lm", "classification"]

WEIGHTS = Path(__file__).parent / "weights"
MAX_LENGTH = 2048
HEAD_SEED = 0


def _positions(config: "PreTrainedConfig") -> int:
    return config.max_position_embeddings


@dataclass(frozen=True)
class Family:
    """What the harness knows of an architecture.

    Attributes:
        name: the family's name, as in tables.
        masked: masked language model (prompts end in the mask token) or causal.
        model_types: the values of `config.model_type` that it serves.
        builtin: names that need no hub; weights come with the repository or from `_fetch`.
        positions: config -> the longest sequence the architecture takes, in tokens.
        nano: tokenizer -> configuration of the family's nano model.
    """

    name: str
    masked: bool
    model_types: tuple[str, ...]
    builtin: tuple[str, ...]
    nano: "Callable[[PreTrainedTokenizerBase], PreTrainedConfig]"
    positions: "Callable[[PreTrainedConfig], int]" = _positions


@dataclass
class LoadedModel:
    """A model ready for fine-tuning.

    Attributes:
        model: in train() mode; None from `load_tokenizer`.
        tokenizer: pads and cuts on the left for causal models, on the right for masked ones.
        family: the family that serves it.
        name: the name it was asked by.
        max_length: tokens, the smaller of 2048 and what the model's positions allow.
    """

    model: "torch.nn.Module"
    tokenizer: "PreTrainedTokenizerBase"
    family: Family
    name: str
    max_length: int


@cache
def families() -> dict[str, Family]:
    """Every family, by file name."""
    found = {name: registry.module("model", name).FAMILY for name in registry.files("model")}
    for name, family in found.items():
        if not isinstance(family, Family):
            raise UserError(f"{registry.path('model', name)}: FAMILY is a {type(family).__name__}, no Family")
    return found


def builtin() -> dict[str, Family]:
    """Every built-in model name and its family."""
    return {name: family for family in families().values() for name in family.builtin}


def family_of(model_type: str, where: str) -> Family:
    """The family that serves a `config.model_type`.

    Raises:
        UserError: no family does.
    """
    for family in families().values():
        if model_type in family.model_types:
            return family
    served = "; ".join(f"{f.name}: {', '.join(f.model_types)}" for f in families().values())
    raise UserError(
        f"{where}: no model family serves model_type {model_type!r} (served are {served}); "
        f"a new family is one file in benchmarks/models/"
    )


def check(name: str) -> None:
    """Refuses a wrong model name before any work, without reading weights or the network.

    Raises:
        UserError: neither built in, nor a folder with a config.json of a served type, nor of
            the form owner/name (those are accepted unseen).
    """
    if name in builtin():
        return
    folder = Path(name).expanduser()
    if folder.is_dir():
        file = folder / "config.json"
        if not file.is_file():
            raise UserError(f"model folder {name}: no config.json in it (is it a transformers folder?)")
        try:
            model_type = json.loads(file.read_text())["model_type"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: not a transformers configuration ({error!r})") from None
        family_of(model_type, str(file))
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UserError(f"model folder {name}: no such folder")
    elif name.count("/") != 1 or not all(name.split("/")):
        hint = "; a hub model is written owner/name, a folder as a path"
        raise UserError(f"{unknown('model', name, builtin())}{hint}")


def is_masked(name: str) -> bool | None:
    """Whether a model is a masked LM; None for a hub name, which nobody has looked at yet."""
    if name in builtin():
        return builtin()[name].masked
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return None
    return family_of(json.loads((folder / "config.json").read_text())["model_type"], name).masked


def source(name: str) -> str:
    """Where transformers reads a model from: a folder, or the hub name itself.

    A built-in model that is neither in the repository nor in the cache is downloaded first.
    """
    check(name)
    if name not in builtin():
        return str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
    if (WEIGHTS / name).is_dir():
        return str(WEIGHTS / name)
    from benchmarks.models import _fetch

    return str(_fetch.fetch(name))


def load_config(name: str) -> "PreTrainedConfig":
    """A model's configuration, without its weights.

    Raises:
        UserError: unknown name, or it cannot be read (no network, no such hub model).
    """
    from transformers import AutoConfig

    from benchmarks.models import _transformers

    where = source(name)
    with _transformers.loading_errors(name):
        config = AutoConfig.from_pretrained(where)
    family_of(config.model_type, name)
    return config


def shape_of(name: str) -> "PreTrainedConfig":
    """A configuration that says a model's shape: of the papers' models without the hub.

    Raises:
        UserError: as `load_config`; the names that need no hub are added.
    """
    from benchmarks.models import _published

    if name in _published.names():
        return _published.config(name)
    try:
        return load_config(name)
    except UserError as error:
        raise UserError(f"{error}; known without the hub: {', '.join(_published.names())}") from None


def load_tokenizer(name: str) -> LoadedModel:
    """What encoding needs of a model (tokenizer, family, longest sequence), without its weights.

    Raises:
        UserError: as `load_config`.
    """
    return _with_tokenizer(name, load_config(name))


def _with_tokenizer(name: str, config: "PreTrainedConfig") -> LoadedModel:
    from transformers import AutoTokenizer

    from benchmarks.models import _transformers

    family = family_of(config.model_type, name)
    with _transformers.loading_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(source(name))
    # Where a folder has none, transformers makes one of special tokens alone.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"model {name}: no tokenizer in it (a tokenizer.json, or what its kind has instead)")
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    return LoadedModel(None, tokenizer, family, name, min(MAX_LENGTH, family.positions(config)))


def load(
    name: str,
    *,
    dtype: "torch.dtype",
    device: str | Mapping[str, str | int],
    head: Head,
    num_labels: int | None = None,
    offload_folder: str | Path | None = None,
) -> LoadedModel:
    """Loads a model with its tokenizer; torch's generators are left as they were.

    Args:
        name: built-in name, folder or hub name.
        dtype: of every parameter.
        device: "cpu", "cuda", "cuda:1"; "auto" shards over what the machine has; or a device map
            (module name -> device, "cpu" or "disk") as accelerate takes it.
        head: "lm", or "classification": a fresh head over `num_labels` classes, the same each time.
        num_labels: for "classification" only.
        offload_folder: where a device map's "disk" part is written. Such a part is loaded for the time of
            its own forward: it can be evaluated, but neither back-propagated into nor updated in place.

    Raises:
        UserError: the name is wrong, no family serves it, its files cannot be read, they hold no weights
            for the head asked for, or some are not finite.
    """
    import torch

    from benchmarks.models import _transformers

    config = load_config(name)
    loaded = _with_tokenizer(name, config)
    family, tokenizer = loaded.family, loaded.tokenizer
    if family.masked and head == "lm" and tokenizer.mask_token_id is None:
        raise UserError(f"{name}: its tokenizer has no mask token; use the classification head")
    config.pad_token_id = tokenizer.pad_token_id
    _transformers.set_labels(config, head, num_labels)
    device_map = device if device == "auto" or isinstance(device, Mapping) else {"": device}
    with _transformers.loading_errors(name), torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(HEAD_SEED)
        model, info = _transformers.auto_class(family.masked, head).from_pretrained(
            source(name),
            config=config,
            dtype=dtype,
            device_map=None if device == "cpu" else device_map,
            offload_folder=offload_folder,
            output_loading_info=True,
            # Refused below, with their names.
            ignore_mismatched_sizes=True,
        )
    _transformers.refuse_missing(name, model, info, head)
    _transformers.refuse_damaged(name, model)
    loaded.model = model.train()
    return loaded


def build(
    config: "PreTrainedConfig",
    *,
    dtype: "torch.dtype",
    device: str = "cpu",
    head: Head = "lm",
    num_labels: int | None = None,
) -> "torch.nn.Module":
    """A model in train() mode from its configuration alone.

    Args:
        config: for example from `load_config`; left as it is.
        dtype: of every parameter.
        device: "cpu", "cuda" or "meta"; on "meta" parameters have shapes and no values, elsewhere
            they are drawn from torch's global generator.
        head: "lm" or "classification".
        num_labels: for "classification" only.

    Raises:
        UserError: no family serves the configuration.
    """
    import torch

    from benchmarks.models import _transformers

    family = family_of(config.model_type, "configuration")
    config = copy.deepcopy(config)
    _transformers.set_labels(config, head, num_labels)
    with torch.device(device):
        return _transformers.auto_class(family.masked, head).from_config(config, dtype=dtype).train()
