"""Prefix tuning: trainable keys and values before those of the tokens, in every attention layer.

    attention(q, K, V)  ->  attention(q, [P_K; K], [P_V; V])

Li and Liang, arXiv 2101.00190, as MeZO uses it (arXiv 2305.17333): N tokens, no reparameterization, and keys
and values of N random tokens as the initial values. As in MeZO's released code, every token sees the whole
prefix, and the positions of the tokens do not count it. The released code counts it in all steps of
generation but the first; here no step does, so a generated token has the probability that scoring gives it.

A hook gives each attention layer a cache whose update puts the prefix first. The model itself sees no cache,
so its positions, masks, and real caches of prompts remain what they are without a prefix, and gradient
checkpointing, which drops caches, keeps it.
"""

import inspect
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from addax.hf_meta import transformers_on_meta
from benchmarks.errors import UserError
from benchmarks.models._mode import evaluating

# The names of an attention layer's argument for the cache.
CACHES = ("past_key_values", "past_key_value", "layer_past")
# Implementations of attention that take a mask of shape (batch, 1, queries, keys).
IMPLEMENTATIONS = ("sdpa", "eager")
# Number of random tokens after the prefix that a new prefix is checked with.
PROBE = 5


class Prefix(nn.Module):
    """The keys and values of one attention layer's prefix.

    Args:
        keys, values: initial values, shape (heads, N, width), in the dtype of the model. In 16 bits, the
            parameters are in float32, like adapters.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        dtype = torch.promote_types(keys.dtype, torch.float32)
        self.keys = nn.Parameter(keys.detach().to(dtype, copy=True))
        self.values = nn.Parameter(values.detach().to(dtype, copy=True))

    def forward(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of shape (batch, heads, tokens, width) with the prefix before them."""
        return _joined(self.keys, keys), _joined(self.values, values)


def _joined(prefix: Tensor, states: Tensor) -> Tensor:
    return torch.cat([prefix.to(states.dtype).expand(len(states), -1, -1, -1), states], dim=-2)


def insert(model: nn.Module, layers: nn.ModuleList, count: int, seed: int) -> None:
    """Freeze a decoder, and give each attention layer a trainable prefix of `count` tokens.

    The initial values are the same each time. The new model is checked: given the tokens that follow, at
    their later positions, it must predict what the original model predicts after the prefix's tokens.

    Args:
        model: a causal LM on any device, "meta" included, where nothing is checked.
        layers: its layers.
        count: the number of tokens, N.
        seed: draws the tokens.

    Raises:
        UserError: the prefix is too long for the model, or the model's layers cannot take one.
    """
    name = f"trainable=prefix:{count}: {type(model).__name__}"
    most = getattr(model.config, "max_position_embeddings", None) or 0
    if 0 < most < count + PROBE:
        raise UserError(f"{name} takes at most {most} tokens: use at most {most - PROBE} as a prefix")
    if model.config._attn_implementation not in IMPLEMENTATIONS:
        raise UserError(f"{name} needs attn_implementation={' or '.join(IMPLEMENTATIONS)} for a prefix")
    if "use_cache" not in inspect.signature(type(model).forward).parameters:
        raise UserError(f"{name} is not a causal LM: use trainable=lora:R")
    embeddings = model.get_input_embeddings()
    drawn = torch.Generator().manual_seed(seed)
    tokens = torch.randint(embeddings.num_embeddings, (1, count + PROBE), generator=drawn)
    tokens = tokens.to(embeddings.weight.device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    on_meta = transformers_on_meta() if tokens.device.type == "meta" else nullcontext()
    with evaluating(model), on_meta:
        out = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=True)
        states = getattr(getattr(out, "past_key_values", None), "layers", ())
        attentions = [_attention_of(layer) for layer in layers]
        if None in attentions or len(states) != len(attentions) or not all(map(_is_whole, states)):
            raise UserError(
                f"{name} has layers without attention over all earlier tokens, which take no prefix: use "
                "trainable=lora:R"
            )
        masks = _Masks(count)
        for attention, state in zip(attentions, states, strict=True):
            attention.prefix = Prefix(state.keys[0, :, :count], state.values[0, :, :count])
            attention.register_forward_pre_hook(_Reader(type(attention), masks), with_kwargs=True)
        if tokens.device.type != "meta" and not _continues(model, tokens, count, out.logits[:, count:]):
            raise UserError(f"{name} does not use a prefix like earlier tokens: use trainable=lora:R")


def _is_whole(state: Any) -> bool:
    """Return whether a layer of a cache holds the keys of all tokens, as a layer with a window may not."""
    keys = getattr(state, "keys", None)
    return isinstance(keys, Tensor) and keys.dim() == 4 and keys.shape[-2] == state.get_seq_length()


def _continues(model: nn.Module, tokens: Tensor, count: int, expected: Tensor) -> bool:
    places = torch.arange(count, tokens.shape[1], device=tokens.device)[None]
    try:
        out = model(input_ids=tokens[:, count:], position_ids=places, use_cache=False)
    except (AttributeError, RuntimeError, TypeError):
        # The model takes no positions, reads more of its cache, or adds a bias of another shape.
        return False
    found, expected = out.logits.double(), expected.double()
    tolerance = 0.03 if out.logits.dtype.itemsize == 2 else 3e-4
    return bool((found - expected).norm() <= tolerance * expected.norm())


def _attention_of(layer: nn.Module) -> nn.Module | None:
    """Return the innermost module of a layer that takes a cache; None unless there is exactly one."""
    found = [module for module in layer.modules() if module is not layer and _cache_name(type(module))]
    inner = [m for m in found if not any(other is not m and other in found for other in m.modules())]
    return inner[0] if len(inner) == 1 else None


def _cache_name(kind: type) -> str | None:
    accepted = inspect.signature(kind.forward).parameters
    return next((name for name in CACHES if name in accepted and "attention_mask" in accepted), None)


class _Reader:
    """A hook that lets an attention layer read its prefix.

    Args:
        kind: the layer's class, for the names of its arguments.
        masks: extends masks; one for all layers, which share a mask.
    """

    def __init__(self, kind: type, masks: "_Masks") -> None:
        self.names = list(inspect.signature(kind.forward).parameters)[1:]
        self.cache_name = _cache_name(kind)
        self.masks = masks

    def __call__(self, module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[tuple, dict]:
        kwargs = {**kwargs, **dict(zip(self.names, args, strict=False))}
        cache, states = kwargs.get(self.cache_name), kwargs[self.names[0]]
        queries = states.shape[1]
        keys = queries
        if cache is not None:
            keys, _ = cache.get_mask_sizes(queries, module.layer_idx)
        kwargs[self.cache_name] = _Prefixed(module.prefix, cache)
        mask = kwargs.get("attention_mask")
        if mask is not None:
            kwargs["attention_mask"] = self.masks.extended(mask)
        elif queries > 1:
            kwargs["attention_mask"] = self.masks.causal(queries, keys, states.device)
        return (), kwargs


class _Prefixed:
    """A layer's cache, or none, with a prefix before what an update returns.

    The prefix is read through its module, so that perturbed values are swapped in while it runs.
    """

    def __init__(self, prefix: Prefix, cache: Any) -> None:
        self.prefix = prefix
        self.cache = cache

    def update(self, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.cache is not None:
            keys, values = self.cache.update(keys, values, *args, **kwargs)
        return self.prefix(keys, values)


class _Masks:
    """Masks with columns for a prefix, which every query sees.

    All layers share the model's mask, so the extended one is kept as long as it lives.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._latest: tuple[weakref.ref, Tensor] | None = None

    def extended(self, mask: Tensor) -> Tensor:
        """Return a boolean or an additive mask with `count` more columns on the left."""
        if self._latest is None or self._latest[0]() is not mask:
            columns = torch.full((*mask.shape[:-1], self.count), mask.dtype == torch.bool).to(mask)
            reference = weakref.ref(mask, self._forget)
            self._latest = reference, torch.cat([columns, mask], dim=-1)
        return self._latest[1]

    def _forget(self, reference: weakref.ref) -> None:
        if self._latest is not None and self._latest[0] is reference:
            self._latest = None

    def causal(self, queries: int, keys: int, device: torch.device) -> Tensor:
        """Return a boolean mask for the last `queries` of `keys` tokens, which see all earlier ones."""
        everything = torch.ones(queries, self.count + keys, dtype=torch.bool, device=device)
        return everything.tril(self.count + keys - queries)[None, None]
