"""Shared parts of the speed studies: interleaved timing, and OPT architectures with random weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from benchmarks import models, tasks
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.models import _published
from benchmarks.profiling.timing import now
from benchmarks.studies import Option

Batch = TypeVar("Batch")
OPT = "facebook/opt-"
NANO = "nano-opt"
SHAPES = (NANO, *(name.removeprefix("facebook/") for name in _published.names() if name.startswith(OPT)))
# Saving replaces rows with the same setting on the same machine.
KEY = ("shape", "dtype", "batch_size", "length", "device", "hardware", "data")
REPEATS = Option("repeats", "number of batches to time; the table shows medians", 5, int)
DEVICE = Option("device", "cpu or cuda (default: cuda if available)")
DATA = Option("data", "builtin, or a data folder", "builtin")


def interleaved(
    alternatives: Mapping[str, Callable[[Batch], object]], batches: Sequence[Batch], device: torch.device
) -> dict[str, list[float]]:
    """Return the seconds that each alternative takes on each batch, after one untimed warm-up each.

    The alternatives are interleaved, so that slow moments of the machine affect all of them equally.
    """
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for work in alternatives.values():
        work(batches[0])
    for batch in batches:
        for name, work in alternatives.items():
            begin = now([device])
            work(batch)
            times[name].append(now([device]) - begin)
    return times


def opt(shape: str, dtype: torch.dtype, device: str, pad_token_id: int = 1) -> PreTrainedModel:
    """Return an OPT model of a published shape ("opt-125m"), or of nano-opt's, with random weights.

    It has no dropout.

    Random weights suffice, because times do not depend on the values of the weights.

    Raises:
        UserError: the shape is unknown.
    """
    config = models.shape_of(shape if shape == NANO else f"facebook/{shape}")
    config.dropout, config.pad_token_id = 0.0, pad_token_id
    return models.build(config, dtype=dtype, device=device)


def random_tokens(
    model: PreTrainedModel, batch_size: int, length: int, count: int, device: str
) -> list[torch.Tensor]:
    """Return batches of random token ids `(batch_size, length)`, which are the same each time."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.config.vocab_size
    return [
        torch.randint(vocabulary, (batch_size, length), generator=generator).to(device) for _ in range(count)
    ]


def nano_tokens_on_opt_125m(device: str) -> models.LoadedModel:
    """Return OPT-125M's architecture with the built-in tokenizer, which needs no download."""
    tokens = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    model = opt("opt-125m", torch.float32, device, tokens.tokenizer.pad_token_id)
    return models.LoadedModel(model, tokens.tokenizer, tokens.family, "opt-125m shape", 2048)


def training_batches(
    name: str, loaded: models.LoadedModel, batch_size: int, count: int, data: str
) -> list[list[Encoded]]:
    """Return encoded batches of a task's training rows."""
    rows = load_splits(name, data, train=batch_size * count, validation=1, test=1, seed=0).train
    train = encode(rows, tasks.load(name), loaded, "lm")
    return [train[i : i + batch_size] for i in range(0, len(train) - batch_size + 1, batch_size)]
