"""Loading of configurations, tokenizers, and models, and the building of models without stored weights."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks import models
from benchmarks.errors import UserError
from benchmarks.hub import names as hub_names
from benchmarks.models import Head, LoadedModel, _adapters

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig


def load_config(name: str, trust_remote_code: bool = False) -> "PreTrainedConfig":
    """Load a model's configuration, without its weights.

    Args:
        name: built-in name, folder, or hub name.
        trust_remote_code: whether the model's own code may run.

    Raises:
        UserError: the name is unknown, the configuration cannot be read (no network, no such hub model), or
            the harness cannot train such a model.
    """
    from transformers import AutoConfig, PreTrainedConfig

    from benchmarks.models import _transformers

    where = models.source(name, trust_remote_code)
    with _transformers.loading_errors(name):
        values, _ = PreTrainedConfig.get_config_dict(where)
        if "model_type" in values:
            # transformers' message for a type that it does not know has many lines.
            models.family_of(values["model_type"], f"model {name}", values, trust_remote_code)
        return AutoConfig.from_pretrained(where, trust_remote_code=trust_remote_code)


def shape_of(name: str, trust_remote_code: bool = False) -> "PreTrainedConfig":
    """Return a configuration that defines a model's shape; the papers' models need no hub for this.

    Raises:
        UserError: see `load_config`; for a hub name, the message also lists the names that need no hub.
    """
    from benchmarks.models import _published

    if (repo := hub_names.unpinned(name)) in _published.names():
        return _published.config(repo)
    try:
        return models.load_config(name, trust_remote_code)
    except UserError as error:
        if models.hub_model(name) is None:
            raise
        raise UserError(f"{error}; known without the hub: {', '.join(_published.names())}") from None


def load_tokenizer(name: str, trust_remote_code: bool = False) -> LoadedModel:
    """Load the parts of a model that encoding needs (tokenizer, family, longest sequence), without weights.

    Raises:
        UserError: see `load_config`.
    """
    return _with_tokenizer(name, models.load_config(name, trust_remote_code), trust_remote_code)


def _with_tokenizer(name: str, config: "PreTrainedConfig", trust_remote_code: bool) -> LoadedModel:
    from transformers import AutoTokenizer

    from benchmarks.models import _transformers

    family = models.family_of(config.model_type, f"model {name}", config)
    with _transformers.loading_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(
            models.source(name, trust_remote_code), trust_remote_code=trust_remote_code
        )
    # If a folder has no tokenizer, transformers builds one that consists of special tokens only.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"model {name}: it has no tokenizer; add a tokenizer.json or the model's equivalent")
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    return LoadedModel(None, tokenizer, family, name, min(models.MAX_LENGTH, family.positions(config)))


def load(
    name: str,
    *,
    dtype: "torch.dtype",
    device: str | Mapping[str, str | int],
    head: Head,
    num_labels: int | None = None,
    offload_folder: str | Path | None = None,
    trust_remote_code: bool = False,
    adapter: Literal["merge", "train"] = "merge",
) -> LoadedModel:
    """Load a model with its tokenizer, without changing the state of torch's generators.

    Args:
        name: built-in name, folder, or hub name (owner/name, or owner/name@REVISION).
        dtype: the dtype of every parameter.
        device: "cpu", "cuda", "cuda:1"; "auto" to shard the model over the machine's devices; or a device map
            for accelerate (module name -> device, "cpu", or "disk").
        head: "lm", or "classification" for a new head over `num_labels` classes, with the same values each
            time.
        num_labels: number of classes, for "classification" only.
        offload_folder: folder for the "disk" part of a device map. Such a part is in memory only during its
            forward, so it can be evaluated but neither back-propagated through nor updated in place.
        trust_remote_code: whether the model's own code may run.
        adapter: whether an adapter folder's adapter is merged into the weights, or stays apart to be trained.

    Raises:
        UserError: the name is invalid, the harness cannot train such a model, its files cannot be read, they
            have no weights for the requested head, some weights are not finite, or an adapter does not fit.
    """
    from benchmarks.models import _devices, _generic, _transformers

    config = models.load_config(name, trust_remote_code)
    loaded = _with_tokenizer(name, config, trust_remote_code)
    family, tokenizer = loaded.family, loaded.tokenizer
    _generic.check_head(family, head, f"model {name}")
    if family.masked and head == "lm" and tokenizer.mask_token_id is None:
        raise UserError(f"{name}: its tokenizer has no mask token; use the classification head")
    _transformers.set_labels(config, head, num_labels)
    device_map = device if device == "auto" or isinstance(device, Mapping) else {"": device}
    gpus = _devices.gpus_of(device.values() if isinstance(device, Mapping) else [device])
    _devices.prepare(gpus, dtype)
    with (
        _transformers.loading_errors(name),
        _transformers.without_conversion(),
        _devices.seeded(gpus, models.HEAD_SEED),
    ):
        model, info = _transformers.auto_class(family.masked, head).from_pretrained(
            models.source(name, trust_remote_code, weights=True),
            config=config,
            trust_remote_code=trust_remote_code,
            dtype=dtype,
            device_map=None if device == "cpu" else device_map,
            offload_folder=offload_folder,
            output_loading_info=True,
            # `refuse_missing` rejects mismatched weights with their names.
            ignore_mismatched_sizes=True,
        )
    _transformers.refuse_missing(name, model, info, head)
    loaded.new_weights = tuple(sorted(info["missing_keys"]))
    if _adapters.folder_of(name) is not None:
        with _devices.seeded(gpus, models.HEAD_SEED):
            model = _adapters.apply(model, name, merge=adapter == "merge")
        loaded.new_weights = _adapters.without_covered(name, loaded.new_weights)
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
        UserError: the harness cannot train such a model, or the architecture does not have the head.
    """
    import torch

    from benchmarks.models import _devices, _generic, _transformers

    family = models.family_of(config.model_type, "configuration", config)
    _generic.check_head(family, head, "configuration")
    _devices.prepare(_devices.gpus_of([device]), dtype)
    config = copy.deepcopy(config)
    _transformers.set_labels(config, head, num_labels)
    with torch.device(device):
        auto = _transformers.auto_class(family.masked, head)
        trusted = _generic.has_code(config)
        return auto.from_config(config, dtype=dtype, trust_remote_code=trusted).train()
