"""Model folders for tests: tiny random models of transformers, and a model with its own code."""

import json
from pathlib import Path

import torch

from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import nano

CONFIGURATION = '''\
"""A configuration that transformers does not know."""

from transformers import PreTrainedConfig


class MineConfig(PreTrainedConfig):
    model_type = "mine"

    def __init__(self, vocab_size=1, n_embd=32, n_layer=2, max_seq_len=60, **more):
        self.vocab_size, self.max_seq_len = vocab_size, max_seq_len
        self.n_embd, self.n_layer = n_embd, n_layer
        super().__init__(**more)
'''
LAYERS = '''\
"""A layer: causal attention with one head, without positions."""

import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.Wqkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, allowed):
        q, k, v = self.Wqkv(self.norm(x)).chunk(3, -1)
        scores = (q @ k.transpose(1, 2)) / q.shape[-1] ** 0.5
        return x + self.out(scores.masked_fill(~allowed, torch.finfo(x.dtype).min).softmax(-1) @ v)
'''
MODELING = '''\
"""A causal LM that transformers does not know."""

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .configuration_mine import MineConfig
from .layers_mine import Layer


class MineForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = MineConfig
    base_model_prefix = "model"

    def __init__(self, config):
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.h = nn.ModuleList(Layer(config.n_embd) for _ in range(config.n_layer))
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.wte

    def get_output_embeddings(self):
        return self.lm_head

    def forward(self, input_ids, attention_mask=None):
        x, tokens = self.wte(input_ids), input_ids.shape[1]
        allowed = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).tril()[None]
        if attention_mask is not None:
            allowed = allowed & attention_mask.bool()[:, None]
        for layer in self.h:
            x = layer(x, allowed)
        return CausalLMOutput(logits=self.lm_head(x))
'''
FILES = {"configuration_mine.py": CONFIGURATION, "layers_mine.py": LAYERS, "modeling_mine.py": MODELING}
AUTO_MAP = {
    "AutoConfig": "configuration_mine.MineConfig",
    "AutoModelForCausalLM": "modeling_mine.MineForCausalLM",
}


def save_small(folder: Path, model_type: str, kind: str, head: str = "lm") -> str:
    """Save a tiny random float64 model with a nano model's tokenizer; return the folder's path."""
    loaded = small(model_type, kind, head)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return str(folder)


def save_own_code(folder: Path, **changes: object) -> str:
    """Save a random causal LM whose folder contains its code; return the folder's path.

    Args:
        folder: the folder to create.
        **changes: values of the configuration.
    """
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    tokenizer = nano("nano-opt").tokenizer
    tokenizer.save_pretrained(folder)
    size, width, layers = len(tokenizer), 32, 2
    values = {"model_type": "mine", "vocab_size": size, "n_embd": width, "n_layer": layers, "max_seq_len": 60}
    values |= {"architectures": ["MineForCausalLM"], "auto_map": AUTO_MAP} | changes
    (folder / "config.json").write_text(json.dumps(values))
    shapes = {"wte.weight": (size, width), "lm_head.weight": (size, width)}
    for i in range(layers):
        shapes |= {f"h.{i}.Wqkv.weight": (3 * width, width), f"h.{i}.Wqkv.bias": (3 * width,)}
        shapes |= {f"h.{i}.out.weight": (width, width)}
        shapes |= {f"h.{i}.{name}": (width,) for name in ("out.bias", "norm.weight", "norm.bias")}
    rng = torch.Generator().manual_seed(0)
    state = {key: torch.randn(shape, generator=rng) * 0.3 for key, shape in shapes.items()}
    from safetensors.torch import save_file

    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)
