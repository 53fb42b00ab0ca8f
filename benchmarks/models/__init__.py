"""Models: one file per family, each of which defines one `FAMILY`.

A model name is a built-in name (`nano-opt`, `smollm2-135m`), a local folder in the layout of transformers, or
a hub name (`facebook/opt-13b`). The family follows from `config.model_type`.
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
        positions: config -> the longest sequence that the architecture accepts, in tokens.
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
        tokenizer: pads and truncates on the left for causal models, and on the right for masked models.
        family: the model's family.
        name: the name under which the model was requested.
        max_length: the smaller of 2048 and the longest sequence that the model accepts, in tokens.
    """

    model: "torch.nn.Module"
    tokenizer: "PreTrainedTokenizerBase"
    family: Family
    name: str
    max_length: int


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


def family_of(model_type: str, where: str) -> Family:
    """Return the family of a `config.model_type`.

    Args:
        model_type: the value from the configuration.
        where: the source of the configuration, for the error message.

    Raises:
        UserError: the value belongs to no family.
    """
    for family in families().values():
        if model_type in family.model_types:
            return family
    supported = "; ".join(f"{f.name}: {', '.join(f.model_types)}" for f in families().values())
    raise UserError(
        f"{where}: no model family supports model_type {model_type!r} (supported: {supported}); "
        f"to add a family, add one file to benchmarks/models/"
    )


def check(name: str) -> None:
    """Reject an invalid model name before any work starts, without reading weights or using the network.

    Raises:
        UserError: the name is not built in, is not a folder whose config.json has a supported type, and does
            not have the form owner/name (hub names are not looked up).
    """
    if name in builtin():
        return
    folder = Path(name).expanduser()
    if folder.is_dir():
        file = folder / "config.json"
        if not file.is_file():
            raise UserError(f"model folder {name}: it has no config.json (is it a transformers folder?)")
        try:
            model_type = json.loads(file.read_text())["model_type"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}: not a transformers configuration ({error!r})") from None
        family_of(model_type, str(file))
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UserError(f"model folder {name}: no such folder")
    elif name.count("/") != 1 or not all(name.split("/")):
        hint = "; write a hub model as owner/name and a folder as a path"
        raise UserError(f"{unknown('model', name, builtin())}{hint}")


def is_masked(name: str) -> bool | None:
    """Return whether a model is a masked LM; None for a hub name, whose configuration is not loaded yet."""
    if name in builtin():
        return builtin()[name].masked
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return None
    return family_of(json.loads((folder / "config.json").read_text())["model_type"], name).masked


def source(name: str) -> str:
    """Return the folder or hub name from which transformers loads a model.

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
    """Load a model's configuration, without its weights.

    Raises:
        UserError: the name is unknown, or the configuration cannot be read (no network, no such hub model).
    """
    from transformers import AutoConfig

    from benchmarks.models import _transformers

    where = source(name)
    with _transformers.loading_errors(name):
        config = AutoConfig.from_pretrained(where)
    family_of(config.model_type, name)
    return config


def shape_of(name: str) -> "PreTrainedConfig":
    """Return a configuration that defines a model's shape; the papers' models need no hub for this.

    Raises:
        UserError: see `load_config`; the message also lists the names that need no hub.
    """
    from benchmarks.models import _published

    if name in _published.names():
        return _published.config(name)
    try:
        return load_config(name)
    except UserError as error:
        raise UserError(f"{error}; known without the hub: {', '.join(_published.names())}") from None


def load_tokenizer(name: str) -> LoadedModel:
    """Load the parts of a model that encoding needs (tokenizer, family, longest sequence), without weights.

    Raises:
        UserError: see `load_config`.
    """
    return _with_tokenizer(name, load_config(name))


def _with_tokenizer(name: str, config: "PreTrainedConfig") -> LoadedModel:
    from transformers import AutoTokenizer

    from benchmarks.models import _transformers

    family = family_of(config.model_type, name)
    with _transformers.loading_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(source(name))
    # If a folder has no tokenizer, transformers builds one that consists of special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"model {name}: it has no tokenizer; add a tokenizer.json or the model's equivalent")
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
    """Load a model with its tokenizer, without changing the state of torch's generators.

    Args:
        name: built-in name, folder, or hub name.
        dtype: the dtype of every parameter.
        device: "cpu", "cuda", "cuda:1"; "auto" to shard the model over the machine's devices; or a device map
            for accelerate (module name -> device, "cpu", or "disk").
        head: "lm", or "classification" for a new head over `num_labels` classes, with the same values each
            time.
        num_labels: number of classes, for "classification" only.
        offload_folder: folder for the "disk" part of a device map. Such a part is in memory only during its
            forward, so it can be evaluated but neither back-propagated through nor updated in place.

    Raises:
        UserError: the name is invalid, the model belongs to no family, its files cannot be read, they have no
            weights for the requested head, or some weights are not finite.
    """
    from benchmarks.models import _devices, _transformers

    config = load_config(name)
    loaded = _with_tokenizer(name, config)
    family, tokenizer = loaded.family, loaded.tokenizer
    if family.masked and head == "lm" and tokenizer.mask_token_id is None:
        raise UserError(f"{name}: its tokenizer has no mask token; use the classification head")
    _transformers.set_labels(config, head, num_labels)
    device_map = device if device == "auto" or isinstance(device, Mapping) else {"": device}
    gpus = _devices.gpus_of(device.values() if isinstance(device, Mapping) else [device])
    _devices.prepare(gpus, dtype)
    with (
        _transformers.loading_errors(name),
        _transformers.without_conversion(),
        _devices.seeded(gpus, HEAD_SEED),
    ):
        model, info = _transformers.auto_class(family.masked, head).from_pretrained(
            source(name),
            config=config,
            dtype=dtype,
            device_map=None if device == "cpu" else device_map,
            offload_folder=offload_folder,
            output_loading_info=True,
            # `refuse_missing` rejects mismatched weights with their names.
            ignore_mismatched_sizes=True,
        )
    _transformers.refuse_missing(name, model, info, head)
    _transformers.refuse_damaged(name, model)
    if not family.masked:
        # A decoder's classification head reads the last token that is not padding. Set only now, the padding
        # token changes no embedding: their first gradient would skip its row.
        model.config.pad_token_id = tokenizer.pad_token_id
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
    """Build a model in train() mode from its configuration, without stored weights.

    Args:
        config: a configuration, for example from `load_config`; it is not changed.
        dtype: the dtype of every parameter.
        device: "cpu", "cuda", or "meta"; on "meta" parameters have shapes but no values, on other devices
            they are drawn from torch's global generator.
        head: "lm" or "classification".
        num_labels: number of classes, for "classification" only.

    Raises:
        UserError: the configuration belongs to no family.
    """
    import torch

    from benchmarks.models import _devices, _transformers

    family = family_of(config.model_type, "configuration")
    _devices.prepare(_devices.gpus_of([device]), dtype)
    config = copy.deepcopy(config)
    _transformers.set_labels(config, head, num_labels)
    with torch.device(device):
        return _transformers.auto_class(family.masked, head).from_config(config, dtype=dtype).train()
