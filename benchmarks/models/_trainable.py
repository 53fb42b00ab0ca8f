"""Selection of the parameters to train: all, LoRA (arXiv 2106.09685), a prefix, or the last layers."""

import math
from typing import TYPE_CHECKING
from unittest import mock

import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.models import HEAD_SEED, _adapters, _devices, _generic, _prefix
from benchmarks.models._transformers import in_body

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

# MeZO's adapters have this alpha and are on the query and value projections (arXiv 2305.17333, appendix on
# hyperparameters).
LORA_ALPHA = 16
# The names of these two projections, by architecture; the first that a model has are adapted. A single name
# is that of a fused matrix, with query, key, and value in one: an adapter on it also changes the key.
PROJECTIONS = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    # DeepSeek computes both from compressed states.
    ("q_b_proj", "kv_b_proj"),
    ("q_proj", "kv_b_proj"),
    ("query_key_value",),
    ("qkv_proj",),
    ("Wqkv",),
    ("c_attn",),
    # DeBERTa (version 1); also Mamba, which has no attention.
    ("in_proj",),
    # MPNet.
    ("q", "v"),
)
# The most names of linear layers in an error.
MOST_NAMES = 12
# Parts of the names of modules that precede the layers, or that all layers read: DeBERTa normalizes its table
# of relative positions, and adds a convolution to its first layer.
EMBEDDINGS = ("emb", "wte", "wpe", "project_in", "encoder.LayerNorm", "encoder.conv")


def select(model: nn.Module, parameters: str, name: str | None = None) -> None:
    """Make only the selected parameters trainable.

    Args:
        model: a model from `models.load` or `models.build`; adapters are inserted into it.
        parameters: `RunSpec.trainable`. "all" trains all parameters. "lora:R" trains a classification head
            and adapters of rank R, which have the same initial values each time and are in float32 if the
            model is in 16 bits. "prefix:N" trains the keys and values of N tokens before those of a causal LM
            (`benchmarks/models/_prefix.py`). "last:N" trains the last N layers and everything after them,
            except output embeddings that are tied to the input embeddings. "adapter" trains a classification
            head and the adapter of an adapter folder; a model from `models.build` gets its layers here.
        name: the name of the model, for "adapter".

    Raises:
        UserError: peft is not installed, the model has no known projections for adapters, takes no prefix, or
            has fewer than N layers.
    """
    kind, _, amount = parameters.partition(":")
    if kind == "lora":
        _adapt(model, int(amount))
    elif kind == "prefix":
        _prefix.insert(model, layers(model), int(amount), HEAD_SEED)
    elif kind == "last":
        _freeze(model, int(amount))
    elif kind == "adapter":
        if not _adapters.is_applied(model):
            _adapters.insert(model, name)
        for head in heads_of(model):
            module = model.get_submodule(head)
            if not _adapters.owns(module):
                module.requires_grad_(True)


def layers(model: nn.Module) -> nn.ModuleList:
    """Return a model's layers, first to last.

    Raises:
        UserError: no list of modules has as many entries as the configuration has layers.
    """
    field = _generic.depth_field(model.config)
    depth = getattr(model.config, field) if field else None
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise UserError(f"{type(model).__name__} has no list of its {depth} layers")


def _adapt(model: nn.Module, rank: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import LoraLayer
        from transformers.pytorch_utils import Conv1D
    except ImportError:
        raise UserError("trainable=lora:R needs peft: pip install -e '.[harness]'") from None
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    found = next((known for known in PROJECTIONS if names.issuperset(known)), None)
    if found is None:
        raise UserError(
            f"trainable=lora:{rank}: {type(model).__name__} has none of the projections that take adapters "
            f"({'; '.join(', '.join(known) for known in PROJECTIONS)}); its linear layers are "
            f"{_linear_names(model)}; use trainable=last:N"
        )
    heads = heads_of(model)
    # GPT-2 stores its matrices transposed.
    transposed = any(
        isinstance(m, Conv1D) and n.rpartition(".")[2] in found for n, m in model.named_modules()
    )
    config = LoraConfig(r=rank, lora_alpha=LORA_ALPHA, target_modules=list(found), fan_in_fan_out=transposed)
    # The adapters are created on the meta device and get their values below. peft would move them to the base
    # layer's device, which is impossible for meta tensors.
    no_move = mock.patch.object(LoraLayer, "_move_adapter_to_device_of_base_layer")
    with no_move, torch.device("meta"):
        inject_adapter_in_model(config, model)
    adapted = [module for module in model.modules() if isinstance(module, LoraLayer)]
    devices = {module.get_base_layer().weight.device for module in adapted}
    with _devices.seeded(_devices.gpus_of(devices), HEAD_SEED):
        for module in adapted:
            _fill(module)
    for name in heads:
        model.get_submodule(name).requires_grad_(True)


def heads_of(model: nn.Module) -> list[str]:
    """Return the names of the modules of a classification head; none for a language model.

    A classification head is everything outside the body, under names that vary.
    """
    if model.get_output_embeddings() is not None:
        return []
    return sorted({name.split(".")[0] for name, _ in model.named_parameters() if not in_body(model, name)})


def _linear_names(model: nn.Module) -> str:
    """Return the distinct last parts of the names of a model's linear layers, as one text."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    names = list(dict.fromkeys(name.rpartition(".")[2] for name in linear))
    more = f", and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES]) or 'none'}{more}"


def _fill(module: "LoraLayer") -> None:
    """Initialize adapters like peft (A random, B zero) on the device of the weight that they adapt."""
    weight = module.get_base_layer().weight
    dtype = torch.promote_types(weight.dtype, torch.float32)
    for part in (*module.lora_A.values(), *module.lora_B.values()):
        part.weight = nn.Parameter(torch.empty(part.weight.shape, dtype=dtype, device=weight.device))
    for part in module.lora_A.values():
        nn.init.kaiming_uniform_(part.weight, a=math.sqrt(5))
    for part in module.lora_B.values():
        nn.init.zeros_(part.weight)


def _freeze(model: nn.Module, count: int) -> None:
    blocks = layers(model)
    if count > len(blocks):
        raise UserError(f"trainable=last:{count}: {type(model).__name__} has {len(blocks)} layers")
    trained = {p for block in blocks[len(blocks) - count :] for p in block.parameters()}
    inside = {p for block in blocks for p in block.parameters()}
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    before = set(inputs.parameters())
    # Output embeddings follow the layers, whatever their name, unless they are tied.
    after = set(outputs.parameters()) - before if outputs is not None else set()
    for name, parameter in model.named_parameters():
        if any(known in name for known in EMBEDDINGS) and parameter not in after:
            before.add(parameter)
        parameter.requires_grad_(parameter in trained or parameter not in before | inside)
