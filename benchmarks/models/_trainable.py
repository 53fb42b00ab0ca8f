"""Selection of the parameters to train: all, LoRA adapters (arXiv 2106.09685), or the last layers."""

import math
from typing import TYPE_CHECKING
from unittest import mock

import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.models import HEAD_SEED, _devices

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

# MeZO's adapters have this alpha and are on the query and value projections (arXiv 2305.17333, appendix on
# hyperparameters).
LORA_ALPHA = 16
# The names of these two projections, by architecture. GPT-2 has query, key, and value in one matrix.
PROJECTIONS = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    ("c_attn",),
)
# Parts of the names of modules that precede the layers.
EMBEDDINGS = ("emb", "wte", "wpe", "project_in")


def select(model: nn.Module, parameters: str) -> None:
    """Make only the selected parameters trainable.

    Args:
        model: a model from `models.load` or `models.build`; adapters are inserted into it.
        parameters: `RunSpec.trainable`. "all" trains all parameters. "lora:R" trains a classification head
            and adapters of rank R, which have the same initial values each time and are in float32 if the
            model is in 16 bits. "last:N" trains the last N layers and everything after them, except output
            embeddings that are tied to the input embeddings.

    Raises:
        UserError: peft is not installed, the model has no known projections for adapters, or the model has
            fewer than N layers.
    """
    kind, _, amount = parameters.partition(":")
    if kind == "lora":
        _adapt(model, int(amount))
    elif kind == "last":
        _freeze(model, int(amount))


def layers(model: nn.Module) -> nn.ModuleList:
    """Return a model's layers, first to last.

    Raises:
        UserError: no list of modules has as many entries as the configuration has layers.
    """
    depth = getattr(model.config, "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise UserError(f"{type(model).__name__} has no list of its {depth} layers")


def _adapt(model: nn.Module, rank: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import LoraLayer
    except ImportError:
        raise UserError("trainable=lora:R needs peft: pip install -e '.[harness]'") from None
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    found = next((known for known in PROJECTIONS if names.issuperset(known)), None)
    if found is None:
        raise UserError(
            f"trainable=lora:{rank}: {type(model).__name__} has none of the projections that take adapters: "
            f"{'; '.join(', '.join(known) for known in PROJECTIONS)}"
        )
    heads = []
    if model.get_output_embeddings() is None:
        # A classification head is everything outside the body, under names that vary.
        body = model.base_model_prefix
        heads = [p for name, p in model.named_parameters() if name.split(".")[0] != body]
    # GPT-2 stores its matrices transposed.
    transposed = found == ("c_attn",)
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
    for parameter in heads:
        parameter.requires_grad_(True)


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
