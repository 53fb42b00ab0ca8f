"""Small problems for the optimizer tests, and a dense oracle that computes the expected results.

The oracle stores theta as plain tensors by name and evaluates losses with a separate copy of the model. It
uses no hooks, blocks, or in-place steps. The only code under test that it calls is `addax.noise.draw`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from addax import noise

CPU = torch.device("cpu")
HALVES = (torch.bfloat16, torch.float16)
DTYPES = (torch.float32, *HALVES)
Point = dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """A model that can be built in any dtype, and its loss on a numbered batch."""

    name: str
    build: Callable[[torch.dtype], nn.Module]
    loss: Callable[[nn.Module, int], Tensor]

    def closure(self, model: nn.Module, batch: int) -> Callable[[], Tensor]:
        """Return a loss closure for a step."""
        return lambda: self.loss(model, batch)


def upcast(logits: Tensor) -> Tensor:
    """Return logits in float32, or in float64 if they already are, to compute a loss from them."""
    return logits if logits.dtype == torch.float64 else logits.float()


def generator(seed: int) -> torch.Generator:
    """Return a new generator, so that tests do not depend on the global one."""
    return torch.Generator().manual_seed(seed)


def fill(model: nn.Module, dtype: torch.dtype, scale: float = 0.3) -> nn.Module:
    """Fill a model with weights that depend only on the shapes of its parameters."""
    rng = generator(1)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng) * scale + (1 if p.dim() == 1 else 0))
    return model.to(dtype)


def _mlp(dtype: torch.dtype) -> nn.Module:
    return fill(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3)), dtype)


def _mlp_loss(model: nn.Module, batch: int) -> Tensor:
    rng = generator(100 + batch)
    x = torch.randn(6, 5, generator=rng, dtype=torch.float64)
    y = torch.randint(0, 3, (6,), generator=rng)
    return F.cross_entropy(upcast(model(x.to(next(model.parameters()).dtype))), y)


class TiedLM(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits `(batch, seq, 11)` for ids `(batch, seq)`."""
        return self.head(torch.tanh(self.body(self.embed(ids))))


def tokens(batch: int, shape: tuple[int, int] = (3, 7), vocab: int = 11) -> Tensor:
    """Return the token ids of a numbered batch."""
    return torch.randint(0, vocab, shape, generator=generator(200 + batch))


def _next_token(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(upcast(logits[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def _tied_loss(model: nn.Module, batch: int) -> Tensor:
    ids = tokens(batch)
    return _next_token(model(ids), ids)


def _transformer_loss(model: nn.Module, batch: int) -> Tensor:
    ids = tokens(batch)
    return _next_token(model(input_ids=ids, use_cache=False).logits, ids)


def opt_model(dtype: torch.dtype, dropout: float = 0.0) -> nn.Module:
    """Build a two-layer OPT with tied embeddings."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=11, hidden_size=8, ffn_dim=12, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, word_embed_proj_dim=8, dropout=dropout, attention_dropout=0.0,
        pad_token_id=1, bos_token_id=2, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    return fill(OPTForCausalLM(config), dtype).train()


def gpt2_model(dtype: torch.dtype) -> nn.Module:
    """Build a two-layer GPT-2 with tied embeddings. Its Conv1D weights have the shape (in, out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=11, n_embd=8, n_inner=12, n_layer=2, n_head=2, n_positions=16, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    return fill(GPT2LMHeadModel(config), dtype).train()


def lora_model(dtype: torch.dtype, build: Callable[..., nn.Module] = opt_model, **settings: Any) -> nn.Module:
    """Build a model with LoRA adapters whose weights are not zero; `settings` go to `LoraConfig`."""
    from peft import LoraConfig, get_peft_model

    settings = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | settings
    model = get_peft_model(build(dtype), LoraConfig(**settings))
    rng = generator(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=rng) * 0.3)
    return model


def prefix_model(dtype: torch.dtype) -> nn.Module:
    """Build the two-layer OPT with a trainable prefix of two tokens."""
    from benchmarks.models import _prefix

    model = opt_model(dtype)
    _prefix.insert(model, model.model.decoder.layers, 2, seed=7)
    return model


def llama_model(dtype: torch.dtype) -> nn.Module:
    """Build a two-layer Llama with tied embeddings and grouped-query attention."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=16, tie_word_embeddings=True,
        pad_token_id=None, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return fill(LlamaForCausalLM(config), dtype).train()


def roberta_model(dtype: torch.dtype) -> nn.Module:
    """Build a one-layer RoBERTa whose masked-LM head is tied to its embedding."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    return fill(RobertaForMaskedLM(config), dtype).train()


def _masked_loss(model: nn.Module, batch: int) -> Tensor:
    ids = tokens(batch)
    return F.cross_entropy(upcast(model(input_ids=ids).logits).flatten(0, 1), ids.flatten())


MLP = Problem("mlp", _mlp, _mlp_loss)
TIED = Problem("tied", lambda dtype: fill(TiedLM(), dtype), _tied_loss)
OPT = Problem("opt", opt_model, _transformer_loss)
GPT2 = Problem("gpt2", gpt2_model, _transformer_loss)
LORA = Problem("lora", lambda dtype: lora_model(dtype).to(dtype), _transformer_loss)
PREFIX = Problem("prefix", prefix_model, _transformer_loss)
LLAMA = Problem("llama", llama_model, _transformer_loss)
ROBERTA = Problem("roberta", roberta_model, _masked_loss)


class Dense:
    """The oracle: theta as plain tensors by name, with losses, gradients, and estimates at any point."""

    def __init__(self, model: nn.Module, problem: Problem) -> None:
        self.model = copy.deepcopy(model)
        self.problem = problem
        named = list(self.model.named_parameters())
        self.index = {name: i for i, (name, p) in enumerate(named) if p.requires_grad}
        self.theta: Point = {}
        self.read(model)

    def read(self, model: nn.Module) -> None:
        """Copy theta from a model."""
        parameters = dict(model.named_parameters())
        self.theta = {name: parameters[name].detach().clone() for name in self.index}

    def _set(self, point: Point) -> list[nn.Parameter]:
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in point.items():
                parameters[name].copy_(value)
        return [parameters[name] for name in point]

    def loss(self, batch: int, point: Point | None = None) -> float:
        """Return the loss at a point; None means theta."""
        self._set(self.theta if point is None else point)
        with torch.no_grad():
            return self.problem.loss(self.model, batch).item()

    def grad(self, batch: int) -> Point:
        """Return the gradient at theta."""
        parameters = self._set(self.theta)
        grads = torch.autograd.grad(self.problem.loss(self.model, batch), parameters)
        return dict(zip(self.index, grads, strict=True))

    def z(self, seed: int) -> Point:
        """Return the direction of a step seed, in float64."""
        return {n: noise.draw(seed, i, self.theta[n].shape, CPU).double() for n, i in self.index.items()}

    def g0(self, batch: int, eps: float, z: Point, point: Point | None = None) -> float:
        """Return ( L(point + eps z) - L(point - eps z) ) / (2 eps)."""
        point = self.theta if point is None else point
        plus = self.loss(batch, {n: point[n] + eps * z[n] for n in point})
        minus = self.loss(batch, {n: point[n] - eps * z[n] for n in point})
        return (plus - minus) / (2 * eps)

    def move(self, lr: float | dict[str, float], step: Point) -> None:
        """Update theta <- theta - lr step, with one learning rate for all names or one per name."""
        for n in self.theta:
            rate = lr if isinstance(lr, float) else lr[n]
            self.theta[n] = self.theta[n] - rate * step[n]


def distance(model: nn.Module, dense: Dense) -> float:
    """Return the largest absolute difference between a coordinate of a model and of the oracle's theta."""
    parameters = dict(model.named_parameters())
    return max((parameters[n].detach() - value).abs().max().item() for n, value in dense.theta.items())


def bits(model: nn.Module) -> list[bytes]:
    """Return the bytes of every parameter in order. Equal lists mean equal bits, including signs of zeros."""
    return [p.detach().contiguous().view(torch.uint8).numpy().tobytes() for p in model.parameters()]


def hooks(model):
    """Return the ids of the forward hooks of every module."""
    return [(*m._forward_pre_hooks, *m._forward_hooks) for m in model.modules()]


def check_unmoved(model, run):
    """Call `run`, and check that theta keeps its bits and addresses and that no gradient or hook remains."""
    before, addresses, hooks_before = bits(model), [p.data_ptr() for p in model.parameters()], hooks(model)
    run()
    assert bits(model) == before
    assert [p.data_ptr() for p in model.parameters()] == addresses
    assert all(p.grad is None for p in model.parameters())
    assert hooks(model) == hooks_before
