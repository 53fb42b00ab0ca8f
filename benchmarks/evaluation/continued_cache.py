"""Key-value caches of prompts that several continuations share, without a second copy of the cache."""

import copy

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class SharedLayer(DynamicLayer):
    """A layer that continues rows of a prompt's layer, and keeps neither these rows nor the new states.

    An attention layer gets the rows that it needs only while it runs, so that a model with L such layers
    holds 1/L of a copy at a time. The layer may be on any device.

    Args:
        prompt: the prompt's layer, which stays unchanged.
        rows: row of the prompt of each continuation, shape (continuations,).
    """

    def __init__(self, prompt: DynamicLayer, rows: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(prompt.keys, prompt.values)
        self.keys, self.values = prompt.keys, prompt.values
        self.rows = rows.to(prompt.keys.device)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Return the keys and values of the continued rows, followed by the new ones."""
        keys = torch.cat([self.keys.index_select(0, self.rows), key_states], dim=-2)
        values = torch.cat([self.values.index_select(0, self.rows), value_states], dim=-2)
        return keys, values


def continued(cache: Cache, rows: Tensor) -> Cache:
    """Return a cache for one forward pass that continues rows of a cache of any kind.

    Args:
        cache: the prompts' cache, which keeps its values.
        rows: row of the cache of each continuation, shape (continuations,), on any device.
    """
    selected = copy.copy(cache)
    selected.layers = [
        SharedLayer(layer, rows) if _is_plain(layer) else _selected(layer, rows) for layer in cache.layers
    ]
    return selected


def _is_plain(layer: object) -> bool:
    return type(layer) is DynamicLayer and layer.get_seq_length() > 0


def _selected(layer: object, rows: Tensor) -> object:
    """Return a copy of the rows of a layer with a sliding window or a recurrent state."""
    selected = copy.copy(layer)
    # Such layers also hold counters and lists.
    for name, value in vars(selected).items():
        if isinstance(value, (list, dict)):
            setattr(selected, name, copy.copy(value))
    selected.reorder_cache(rows)
    return selected
