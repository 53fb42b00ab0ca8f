"""Tests of prompts' caches that candidates share: memory, and layers on several devices."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, DynamicCache

from benchmarks import tasks
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.continued_cache import continued
from benchmarks.evaluation.scoring import Scorer
from benchmarks.profiling.peak_memory import LiveBytes
from tests.benchmarks.evaluation.architectures import small


class SameDevice(TorchDispatchMode):
    """An error like CUDA's for an index on another device than the indexed tensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.index_select.default:
            assert args[0].device == args[2].device, f"index on {args[2].device}, tensor on {args[0].device}"
        return func(*args, **(kwargs or {}))


def cache_on(devices):
    """Return a cache with one layer per device, for two prompts of three tokens."""
    cache = DynamicCache()
    for i, device in enumerate(devices):
        cache.update(*(torch.arange(24.0, device=device).view(2, 1, 3, 4) for _ in range(2)), i)
    return cache


def test_layers_on_other_devices_are_continued_where_they_are():
    cache, owner = cache_on(["cpu", "meta", "cpu"]), torch.tensor([1, 0, 1])
    before = [layer.keys for layer in cache.layers]
    selected = continued(cache, owner)
    assert selected.get_seq_length() == 3
    with SameDevice():
        for i, device in enumerate(["cpu", "meta", "cpu"]):
            new = torch.ones(3, 1, 2, 4, device=device)
            keys, values = selected.update(new, 2 * new, i)
            assert keys.shape == values.shape == (3, 1, 5, 4)
            assert keys.device.type == device
            if device == "cpu":
                assert torch.equal(keys, torch.cat([before[i][owner], new], 2))
                assert torch.equal(values, torch.cat([before[i][owner], 2 * new], 2))
    assert [layer.keys for layer in cache.layers] == before


@pytest.mark.parametrize("name", ["gemma3_text", "mistral"])
def test_layers_with_a_window_are_continued_where_they_are(name):
    """Their rows are selected before the pass, also on the layer's device."""
    cache = DynamicCache(config=small(name, "causal").model.config)
    for i in range(len(cache.layers)):
        cache.update(*(torch.ones(2, 1, 3, 4, device="meta" if i else "cpu") for _ in range(2)), i)
    with SameDevice():
        selected = continued(cache, torch.tensor([1, 0, 1]))
        for i in range(len(cache.layers)):
            new = torch.ones(3, 1, 1, 4, device="meta" if i else "cpu")
            assert len(selected.update(new, new, i)[0]) == 3
    assert all(len(layer.keys) == 2 for layer in cache.layers)


@pytest.mark.parametrize("name", ["opt", "llama"])
def test_candidates_copy_one_layer_of_the_prompts_cache_at_a_time(name):
    loaded = copy.copy(small(name, "causal"))
    config = copy.deepcopy(loaded.model.config)
    config.num_hidden_layers = 8
    loaded.model = AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    scorer = Scorer(loaded, tasks.load("record"))
    words = scorer.padding.words(43)
    batch = [Encoded(words[:40], (words[:1], words[:2], words[1:4]), (), 0, 43)] * 8
    assert scorer._continues_prompts
    tracker, call, live = LiveBytes(loaded.model.parameters()), scorer.padding.call, []

    def watched(inputs, **options):
        out = call(inputs, **options)
        if not live:
            tracker.peak = tracker.live
        live.append(tracker.live)
        return out

    scorer.padding.call = watched
    with torch.no_grad(), tracker:
        scorer._cached_scores(batch)
    assert len(live) == 4
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    layer = 2 * 8 * heads * 40 * config.hidden_size // config.num_attention_heads * 8
    # Masks, hidden states, and logits add to the layer that is being copied.
    assert layer < tracker.peak - live[0] < 4 * layer
