"""What the tests of the optimizers share: small problems, and the dense arithmetic they are held to.

The oracle keeps theta as plain tensors by name, evaluates losses through a copy of the model of its own and
knows nothing of hooks, blocks or in-place steps; of the code under test it uses `addax.noise.draw` alone.
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
    """A model to build in a dtype, and its loss on the batch of a number."""

    name: str
    build: Callable[[torch.dtype], nn.Module]
    loss: Callable[[nn.Module, int], Tensor]

    def closure(self, model: nn.Module, batch: int) -> Callable[[], Tensor]:
        """The loss closure that a step takes."""
        return lambda: self.loss(model, batch)


def upcast(logits: Tensor) -> Tensor:
    """Logits in at least float32, as losses are computed."""
    return logits if logits.dtype == torch.float64 else logits.float()


def generator(seed: int) -> torch.Generator:
    """A generator of its own, so that no test depends on the global one."""
    return torch.Generator().manual_seed(seed)


def fill(model: nn.Module, dtype: torch.dtype, scale: float = 0.3) -> nn.Module:
    """Gives a model weights that depend on nothing but its shapes."""
    own = generator(1)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=own) * scale + (1 if p.dim() == 1 else 0))
    return model.to(dtype)


def _mlp(dtype: torch.dtype) -> nn.Module:
    return fill(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3)), dtype)


def _mlp_loss(model: nn.Module, batch: int) -> Tensor:
    own = generator(100 + batch)
    x = torch.randn(6, 5, generator=own, dtype=torch.float64)
    y = torch.randint(0, 3, (6,), generator=own)
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
        """Logits `(batch, seq, 11)` of ids `(batch, seq)`."""
        return self.head(torch.tanh(self.body(self.embed(ids))))


def tokens(batch: int, shape: tuple[int, int] = (3, 7), vocab: int = 11) -> Tensor:
    """The token ids of a batch."""
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
    """A two-layer OPT with tied embeddings."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=11, hidden_size=8, ffn_dim=12, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, word_embed_proj_dim=8, dropout=dropout, attention_dropout=0.0,
        pad_token_id=1, bos_token_id=2, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    return fill(OPTForCausalLM(config), dtype).train()


def gpt2_model(dtype: torch.dtype) -> nn.Module:
    """A two-layer GPT-2 with tied embeddings, whose Conv1D weights are (in, out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=11, n_embd=8, n_inner=12, n_layer=2, n_head=2, n_positions=16, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    return fill(GPT2LMHeadModel(config), dtype).train()


def lora_model(dtype: torch.dtype, build: Callable[..., nn.Module] = opt_model, **settings: Any) -> nn.Module:
    """A model under LoRA adapters whose weights are not zero; `settings` are those of `LoraConfig`."""
    from peft import LoraConfig, get_peft_model

    settings = {"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | settings
    model = get_peft_model(build(dtype), LoraConfig(**settings))
    own = generator(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=own) * 0.3)
    return model


def llama_model(dtype: torch.dtype) -> nn.Module:
    """A two-layer Llama with tied embeddings and grouped heads."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=16, tie_word_embeddings=True,
        pad_token_id=None, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return fill(LlamaForCausalLM(config), dtype).train()


def roberta_model(dtype: torch.dtype) -> nn.Module:
    """A one-layer RoBERTa with its masked-LM head, tied."""
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
LLAMA = Problem("llama", llama_model, _transformer_loss)
ROBERTA = Problem("roberta", roberta_model, _masked_loss)


class Dense:
    """theta as float64 tensors by name, with losses, gradients and estimates at any point."""

    def __init__(self, model: nn.Module, problem: Problem) -> None:
        self.model = copy.deepcopy(model)
        self.problem = problem
        named = list(self.model.named_parameters())
        self.index = {name: i for i, (name, p) in enumerate(named) if p.requires_grad}
        self.theta: Point = {}
        self.read(model)

    def read(self, model: nn.Module) -> None:
        """Takes theta from a model."""
        held = dict(model.named_parameters())
        self.theta = {name: held[name].detach().clone() for name in self.index}

    def _put(self, point: Point) -> list[nn.Parameter]:
        held = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in point.items():
                held[name].copy_(value)
        return [held[name] for name in point]

    def loss(self, batch: int, point: Point | None = None) -> float:
        """The loss at a point (theta where None)."""
        self._put(self.theta if point is None else point)
        with torch.no_grad():
            return self.problem.loss(self.model, batch).item()

    def grad(self, batch: int) -> Point:
        """The gradient at theta."""
        parameters = self._put(self.theta)
        grads = torch.autograd.grad(self.problem.loss(self.model, batch), parameters)
        return dict(zip(self.index, grads, strict=True))

    def z(self, seed: int) -> Point:
        """The direction of a seed."""
        return {n: noise.draw(seed, i, self.theta[n].shape, CPU).double() for n, i in self.index.items()}

    def g0(self, batch: int, eps: float, z: Point, point: Point | None = None) -> float:
        """( L(point + eps z) - L(point - eps z) ) / (2 eps)."""
        point = self.theta if point is None else point
        plus = self.loss(batch, {n: point[n] + eps * z[n] for n in point})
        minus = self.loss(batch, {n: point[n] - eps * z[n] for n in point})
        return (plus - minus) / (2 * eps)

    def move(self, lr: float | dict[str, float], step: Point) -> None:
        """theta <- theta - lr step, with one learning rate or one a name."""
        for n in self.theta:
            rate = lr if isinstance(lr, float) else lr[n]
            self.theta[n] = self.theta[n] - rate * step[n]


def distance(model: nn.Module, dense: Dense) -> float:
    """The largest difference of any coordinate between a model and the oracle's theta."""
    held = dict(model.named_parameters())
    return max((held[n].detach() - value).abs().max().item() for n, value in dense.theta.items())


def bits(model: nn.Module) -> list[bytes]:
    """Every parameter's bytes, in order: equal lists are equal bits, signs of zeros included."""
    return [p.detach().contiguous().view(torch.uint8).numpy().tobytes() for p in model.parameters()]


def hooks(model):
    """The ids of every module's forward hooks."""
    return [(*m._forward_pre_hooks, *m._forward_hooks) for m in model.modules()]


def check_unmoved(model, run):
    """Runs something that evaluates perturbed losses; theta keeps its bits and its memory."""
    before, memory, hooked = bits(model), [p.data_ptr() for p in model.parameters()], hooks(model)
    run()
    assert bits(model) == before
    assert [p.data_ptr() for p in model.parameters()] == memory
    assert all(p.grad is None for p in model.parameters())
    assert hooks(model) == hooked
