"""PEFT adapter folders as models: `adapter_config.json` and weights, without the base model.

    W <- W + s B A          (LoRA, arXiv 2106.09685; other kinds change W in their own way)

A folder with an `adapter_config.json` and no `config.json` stands for its base model with the adapter. The
adapter is merged into the weights, or, with trainable=adapter, its own parameters are trained.
"""

import importlib.util
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from torch import nn

CONFIG, ADAPTER = "config.json", "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# The kinds whose adapters peft merges into the weights of one layer each.
MERGEABLE = ("LORA", "LOHA", "LOKR", "IA3", "OFT", "HRA")


def folder_of(name: str) -> Path | None:
    """Return the adapter folder that a model's name stands for; None for any other model."""
    folder = Path(name).expanduser()
    return folder if (folder / ADAPTER).is_file() and not (folder / CONFIG).is_file() else None


def base_of(name: str) -> str | None:
    """Return the name of an adapter folder's base model; None for any other model.

    Raises:
        UserError: the configuration names no base model.
    """
    folder = folder_of(name)
    if folder is None:
        return None
    base = configuration(name).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise UserError(
            f"adapter folder {name}: {ADAPTER} names no base model; set base_model_name_or_path to a "
            "built-in name, a folder, or a hub name"
        )
    return base


def check(name: str) -> None:
    """Reject an adapter folder that cannot be used, without reading weights; its base is checked elsewhere.

    Raises:
        UserError: peft is not installed, the folder has no weights, its adapter is of a kind that cannot be
            merged, or its base is an adapter folder, too.
    """
    folder = folder_of(name)
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"adapter folder {name} needs peft: pip install -e '.[harness]'")
    kind = configuration(name).get("peft_type")
    if kind not in MERGEABLE:
        raise UserError(
            f"adapter folder {name}: adapters of kind {kind} can be neither merged into the weights nor "
            f"trained here (supported: {', '.join(MERGEABLE)})"
        )
    if not any((folder / file).is_file() for file in WEIGHTS):
        raise UserError(f"adapter folder {name}: it has no {WEIGHTS[0]}; is the folder complete?")
    if folder_of(base_of(name)) is not None:
        raise UserError(
            f"adapter folder {name}: its base model {base_of(name)} is an adapter folder, too; merge that "
            "one with peft, save the result, and set base_model_name_or_path to it"
        )


def configuration(name: str) -> dict[str, Any]:
    """Return the values in the configuration of a folder's adapter.

    Raises:
        UserError: they cannot be read.
    """
    file = folder_of(name) / ADAPTER
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not an adapter's configuration ({error})") from None
    if not isinstance(values, dict):
        raise UserError(f"{file}: not an adapter's configuration (it must be a JSON object)")
    return values


def has_head(name: str) -> bool | None:
    """Return whether an adapter brings a classification head along; None for a model without an adapter."""
    folder = folder_of(name)
    return None if folder is None else bool(configuration(name).get("modules_to_save"))


def apply(model: "nn.Module", name: str, *, merge: bool) -> "nn.Module":
    """Return a base model with the adapter of a folder.

    The caller restores the state of torch's generators, which peft uses before it reads the weights.

    Args:
        model: the base model on its devices; it is changed.
        name: the adapter folder.
        merge: whether to merge the adapter into the weights. Otherwise, its layers are inserted.

    Raises:
        UserError: the adapter does not fit the model.
    """
    from peft import PeftModel

    folder, config = folder_of(name), _config(name, train=not merge)
    device = next(model.parameters()).device
    try:
        with warnings.catch_warnings():
            # Weights that are missing are reported below, by name.
            warnings.simplefilter("ignore")
            wrapped = PeftModel(model, config)
            loaded = wrapped.load_adapter(
                str(folder), "default", is_trainable=not merge, torch_device=str(device)
            )
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        message = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
        raise UserError(f"adapter folder {name} does not fit {base_of(name)}: {message}") from error
    if wrong := sorted({*loaded.missing_keys, *loaded.unexpected_keys}):
        raise UserError(
            f"adapter folder {name} does not fit {base_of(name)}: {wrong[0]} is in only one of them "
            f"({len(wrong)} such weights)"
        )
    if merge:
        merged = wrapped.merge_and_unload()
        # transformers would save only the adapter of a model with this attribute.
        vars(merged).pop("peft_config", None)
        return merged
    _promote(wrapped.base_model.model)
    return wrapped.base_model.model


def insert(model: "nn.Module", name: str) -> None:
    """Insert the layers of a folder's adapter into a model on the meta device, without values."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(_config(name, train=True), model, low_cpu_mem_usage=True)
    _promote(model)


def is_applied(model: "nn.Module") -> bool:
    """Return whether a model contains the layers of an adapter."""
    return hasattr(model, "peft_config")


def owns(module: "nn.Module") -> bool:
    """Return whether an adapter has its own copy of a module, such as a classification head."""
    return any("modules_to_save" in name for name, _ in module.named_parameters())


def covers(config: "PeftConfig", weight: str) -> bool:
    """Return whether an adapter brings a weight of the model along, such as that of a classification head."""
    return any(f".{part}." in f".{weight}" for part in getattr(config, "modules_to_save", None) or ())


def without_covered(name: str, weights: Iterable[str]) -> tuple[str, ...]:
    """Return those of a base model's new weights that the folder's adapter does not bring along."""
    config = _config(name, train=False)
    return tuple(weight for weight in weights if not covers(config, weight))


def _config(name: str, *, train: bool) -> "PeftConfig":
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(folder_of(name)))
    config.inference_mode = not train
    return config


def _promote(model: "nn.Module") -> None:
    """Convert trained floating-point parameters to the wider of their own dtype, the model's, and float32."""
    import torch

    dtype = torch.promote_types(_dtype(model), torch.float32)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, dtype))


def _dtype(model: "nn.Module") -> "torch.dtype":
    return next(p.dtype for p in model.parameters() if not p.requires_grad)
