"""What the studies of speed share: ways timed in turns, and OPT architectures with random weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from benchmarks import models, tasks
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.models import _published
from benchmarks.profiling.timing import now
from benchmarks.studies import Option

Batch = TypeVar("Batch")
OPT = "facebook/opt-"
SHAPES = tuple(name.removeprefix("facebook/") for name in _published.names() if name.startswith(OPT))
# Rows of one setting on one machine replace each other.
KEY = ("shape", "dtype", "batch_size", "length", "device", "hardware", "data")
REPEATS = Option("repeats", "batches to time; the table shows medians over them", 5, int)
DEVICE = Option("device", "cpu or cuda (default: cuda if there is one)")
DATA = Option("data", "builtin, or a folder with real rows", "builtin")


def device_of(given: str | None) -> str:
    """The device of `--device`: the given one, or else cuda if there is one."""
    if given is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if given.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {given}: torch sees no GPU here")
    return given


def interleaved(
    ways: Mapping[str, Callable[[Batch], object]], batches: Sequence[Batch], device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each way on each batch, after one untimed turn of each.

    The ways take turns, so that slow moments of the machine fall on all of them alike.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for work in ways.values():
        work(batches[0])
    for batch in batches:
        for name, work in ways.items():
            begin = now(device)
            work(batch)
            times[name].append(now(device) - begin)
    return times


def opt(shape: str, dtype: torch.dtype, device: str, pad_token_id: int = 1) -> PreTrainedModel:
    """An OPT of a published shape ("opt-125m") with random weights and without dropout.

    Times do not depend on the values of the weights.

    Raises:
        UserError: no such shape.
    """
    config = models.shape_of(f"facebook/{shape}")
    config.dropout, config.pad_token_id = 0.0, pad_token_id
    return models.build(config, dtype=dtype, device=device)


def nano_tokens_on_opt_125m(device: str) -> models.LoadedModel:
    """OPT-125M's architecture with the built-in tokenizer: nothing is downloaded."""
    tokens = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    model = opt("opt-125m", torch.float32, device, tokens.tokenizer.pad_token_id)
    return models.LoadedModel(model, tokens.tokenizer, tokens.family, "opt-125m shape", 2048)


def training_batches(
    name: str, loaded: models.LoadedModel, batch_size: int, count: int, data: str
) -> list[list[Encoded]]:
    """Encoded batches of a task's training rows."""
    rows = load_splits(name, data, train=batch_size * count, validation=1, test=1, seed=0).train
    train = encode(rows, tasks.load(name), loaded, "lm")
    return [train[i : i + batch_size] for i in range(0, len(train) - batch_size + 1, batch_size)]
