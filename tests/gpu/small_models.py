"""Helpers: small transformers models and padded batches."""

import torch
from transformers import AutoConfig

from benchmarks import models, tasks
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import LoadedModel

WIDTH, HEADS, LAYERS, VOCABULARY = 64, 4, 2, 512
PAD, MASK = 1, 10


class Tokenizer:
    """The attributes of a tokenizer that scoring reads."""

    pad_token_id = PAD
    mask_token_id = MASK


def config_of(family, layers=LAYERS, width=WIDTH):
    """Return the configuration of a small model with room for 256 tokens."""
    shape = {
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": HEADS,
        "vocab_size": VOCABULARY, "max_position_embeddings": 258, "pad_token_id": PAD,
    }  # fmt: skip
    if family == "opt":
        shape |= {"ffn_dim": 4 * width, "word_embed_proj_dim": width, "dropout": 0.0}
    else:
        shape |= {"intermediate_size": 4 * width}
    if family == "roberta":
        shape |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return AutoConfig.for_model(family, **shape)


def build(family, dtype, device, **shape):
    """Return a small model with random weights, which depend on neither the device nor the dtype."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return models.build(config_of(family, **shape), dtype=torch.float32).to(device, dtype)


def scorer_of(model, family):
    """Return a scorer of SST-2 for a model."""
    loaded = LoadedModel(model, Tokenizer(), models.family_of(family, "test"), family, 256)
    return Scorer(loaded, tasks.load("sst2"))


def batch_of(*lengths):
    """Return examples of the given lengths in tokens, each with one mask and two one-token candidates."""
    rng = torch.Generator().manual_seed(0)
    words = [torch.randint(20, VOCABULARY, (n - 1,), generator=rng).tolist() for n in lengths]
    return [Encoded((*w, MASK), ((11,), (12,)), (), i % 2, len(w) + 1) for i, w in enumerate(words)]
