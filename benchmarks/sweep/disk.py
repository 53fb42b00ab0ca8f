"""Disk space that a sweep will need for the checkpoints of its runs (`benchmarks.training.checkpoint`)."""

import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import models
from benchmarks.config.methods import build_optimizer
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.models import _trainable
from benchmarks.training.state import weights_of

# Width of the layers that stand for a model when the state of a method is measured.
WIDTH = 256
# Classes of a classification head, whose size does not matter beside that of the model.
CLASSES = 2


def checkpoint_bytes(spec: RunSpec) -> float:
    """Return the most bytes that the checkpoint of a run takes, which is while it is replaced.

    With W bytes of trained weights and S bytes of optimizer state, these are 3 W + 2 S; 0 for a run without
    training.

    Raises:
        UserError: the configuration of the model cannot be read.
    """
    if spec.method == ZERO_SHOT:
        return 0.0
    weights = trained_bytes(spec.model, spec.dtype, spec.head, spec.trainable, spec.trust_remote_code)
    return weights * (3 + 2 * state_ratio(spec))


def saved_bytes(spec: RunSpec) -> int:
    """Return the bytes of the saved model of a run: its adapters, or all weights; 0 without training.

    Raises:
        UserError: the configuration of the model cannot be read.
    """
    if spec.method == ZERO_SHOT:
        return 0
    whole = spec.trainable == "all" or spec.trainable.startswith("last:")
    part = "all" if whole else spec.trainable
    return trained_bytes(spec.model, spec.dtype, spec.head, part, spec.trust_remote_code)


@cache
def trained_bytes(model: str, dtype: str, head: str, trainable: str, trust_remote_code: bool = False) -> int:
    """Return the bytes of the weights that a checkpoint stores, from the model's configuration alone."""
    config = models.shape_of(model, trust_remote_code)
    labels = CLASSES if head == "classification" else None
    shape = models.build(config, dtype=getattr(torch, dtype), device="meta", head=head, num_labels=labels)
    _trainable.select(shape, trainable, model)
    return sum(tensor.nbytes for tensor in weights_of(shape).values())


def state_ratio(spec: RunSpec) -> float:
    """Return the most bytes of a method's state per byte of the weights that it trains.

    They are measured on an embedding and a linear layer, which some methods treat differently, after a step
    of each kind, and inside `evaluation_weights()`, where checkpoints are written.
    """
    dtype = getattr(torch, spec.dtype)
    layers = nn.Sequential(nn.Embedding(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)).to(dtype)
    optimizer = build_optimizer(spec, layers)

    def loss() -> torch.Tensor:
        return layers(torch.arange(WIDTH)).float().square().mean()

    for _ in range(optimizer.step_kinds):
        optimizer.step(**dict.fromkeys(optimizer.next_closures(), loss))
    with optimizer.evaluation_weights():
        states = optimizer.state_dict()["state"].values()
    # Counters of steps are small whatever the size of the weights.
    sizes = [sum(t.nbytes for t in _tensors(state) if t.numel() > 1) for state in states]
    return max(sizes, default=0) / (WIDTH * WIDTH * dtype.itemsize)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested dictionaries and lists."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def free(folder: Path) -> tuple[int, Path]:
    """Return the free bytes of the file system that holds a folder, and the closest folder that exists."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free, folder
