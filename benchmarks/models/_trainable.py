"""Which parameters of a model are trained: all, LoRA's (arXiv 2106.09685), or those of its last layers."""

import math
from typing import TYPE_CHECKING
from unittest import mock

import torch
from torch import nn

from benchmarks.errors import UserError
from benchmarks.models import HEAD_SEED

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

# MeZO's adapters (arXiv 2305.17333, appendix on hyper-parameters): alpha, at query and value projections.
LORA_ALPHA = 16
# What architectures call these two; GPT-2 has query, key and value in one.
PROJECTIONS = (("q_proj", "v_proj"), ("query", "value"), ("q_lin", "v_lin"), ("c_attn",))
EMBEDDINGS = ("emb", "wte", "wpe", "project_in")
HEADS = ("classifier", "score", "pre_classifier")


def select(model: nn.Module, parameters: str) -> None:
    """Leaves only the parameters asked for trainable.

    Args:
        model: as `models.load` or `models.build` gives it; adapters are put into it.
        parameters: of `RunSpec`: "all"; "lora:R": adapters of rank R, the same each time and in float32 where
            the model is in 16 bits, and a classification head; "last:N": the last N layers and what comes
            after them, but for output embeddings that are the input embeddings too.

    Raises:
        UserError: peft is not installed; the model has no projections that adapters are known to belong at,
            or fewer than N layers.
    """
    kind, _, amount = parameters.partition(":")
    if kind == "lora":
        _adapt(model, int(amount))
    elif kind == "last":
        _freeze(model, int(amount))


def layers(model: nn.Module) -> nn.ModuleList:
    """A model's layers, first to last."""
    depth = model.config.num_hidden_layers
    return next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth)


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
            f"trainable=lora:{rank}: {type(model).__name__} has none of the projections that adapters are "
            f"put at: {'; '.join(', '.join(known) for known in PROJECTIONS)}"
        )
    heads = [p for name, p in model.named_parameters() if name.split(".")[0] in HEADS]
    # GPT-2 stores its matrices the other way round.
    turned = found == ("c_attn",)
    config = LoraConfig(r=rank, lora_alpha=LORA_ALPHA, target_modules=list(found), fan_in_fan_out=turned)
    # They come without values, which are made below; peft would move them, and such tensors cannot be moved.
    stays = mock.patch.object(LoraLayer, "_move_adapter_to_device_of_base_layer")
    with stays, torch.device("meta"):
        inject_adapter_in_model(config, model)
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(HEAD_SEED)
        for module in model.modules():
            if isinstance(module, LoraLayer):
                _fill(module)
    for parameter in heads:
        parameter.requires_grad_(True)


def _fill(module: "LoraLayer") -> None:
    """Gives adapters values, where the weight that they adapt is: peft's, A drawn, B zero."""
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
    # A tied output embedding goes by the name of the input's, which comes first.
    for name, parameter in model.named_parameters():
        before = any(part.startswith(EMBEDDINGS) for part in name.split("."))
        parameter.requires_grad_(parameter in trained or not (before or parameter in inside))
