"""The papers' memory figures: predicted peaks of a step against batch size, length, and model size.

Rows of kind "predicted" come from `benchmarks.memory.estimator`: a method's step on OPT's code, on meta
tensors. Rows of kind "measured" have the same fields; saving predictions keeps them.
"""

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from addax.memory import KINDS
from benchmarks import models
from benchmarks.config.methods import method_class
from benchmarks.errors import UserError
from benchmarks.memory import estimator
from benchmarks.models._trainable import LORA_ALPHA
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study, _memory_tables
from benchmarks.studies._memory_points import GRIDS, RANK, Point

DEVICE = "cuda"
LORA = {"r": RANK, "lora_alpha": LORA_ALPHA, "target_modules": ["q_proj", "v_proj"]}


def predict(point: Point) -> dict[str, Any]:
    """The part of a row that says how much memory a step takes, and where.

    Returns:
        split: bytes of each of `KINDS` at the peak; piece: where it is; peak_bytes; and, of a step with a
        backward pass, the same split where that begins and where it ends.
    """
    sizes = {"zo_loss": point.zo, "full_loss": point.zo, "fo_loss": point.fo}
    batches = {
        loss.removesuffix("_loss"): estimator.synthetic([length] * count)
        for loss in method_class(point.method).closures
        for count, length in [sizes[loss]]
    }
    config = models.shape_of(point.model)
    found = estimator.phase_peaks(point.spec, config, batches, DEVICE).bytes
    piece = max(found, key=lambda p: sum(found[p]))
    backward = [p for p in found if p[:2] == ("fo", "backward")]
    ends = {"start": max(backward, key=_layer), "end": min(backward, key=_layer)} if backward else {}
    return {
        "split": _split(found[piece]),
        "piece": list(piece),
        "peak_bytes": sum(found[piece]),
        "backward": {end: _split(found[at]) for end, at in ends.items()} or None,
    }


def _layer(piece: tuple) -> int:
    return piece[2]


def _split(held: Iterable[int]) -> dict[str, int]:
    return dict(zip(KINDS, held, strict=True))


def rows(points: Sequence[Point], processes: int) -> list[dict[str, Any]]:
    """A row for each point; steps that several points share are predicted once.

    Args:
        points: in the order of the rows.
        processes: that predict at once.

    Raises:
        UserError: a point has adapters and peft is not installed.
    """
    if any(point.adapters for point in points) and importlib.util.find_spec("peft") is None:
        raise UserError("LoRA is predicted with peft, which is not installed: pip install -e '.[harness]'")
    made_by = provenance_fields()
    steps = list(dict.fromkeys(point.step for point in points))
    if processes == 1:
        found = dict(zip(steps, map(predict, steps), strict=True))
    else:
        with ProcessPoolExecutor(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            found = dict(zip(steps, pool.map(predict, steps), strict=True))
    return [_row(point) | found[point.step] | made_by for point in points]


def _row(point: Point) -> dict[str, Any]:
    (zo, zo_length), (fo, fo_length) = (batch or (0, None) for batch in (point.zo, point.fo))
    return {
        "kind": "predicted",
        "what": point.what,
        "device": DEVICE,
        "model": point.model,
        "method": point.method,
        "label": point.label,
        "adapters": LORA if point.adapters else None,
        "dtype": point.dtype,
        "gradient_checkpointing": point.gradient_checkpointing,
        "batch_size": point.batch_size,
        "length": point.length,
        "zo_batch_size": zo,
        "zo_length": zo_length,
        "fo_batch_size": fo,
        "fo_length": fo_length,
    }


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows of every point of the figures that the options name."""
    points = [point for what in GRIDS if what in options.figures for point in GRIDS[what]()]
    say(f"predicting {len(points)} points in {options.processes} processes")
    return rows(points, options.processes)


STUDY = Study(
    measure,
    _memory_tables.points,
    # Predictions replace predictions of the same figure only.
    key=("what", "kind"),
    order=lambda row: (list(GRIDS).index(row["what"]), row["kind"] == "measured"),
    tables=_memory_tables.PAGE,
    figures=("figure3", "figure4", "largest_model"),
    options=(
        Option(
            "figures",
            f"figures and tables to predict (default: all of {', '.join(GRIDS)})",
            tuple(GRIDS),
            many=True,
            choices=tuple(GRIDS),
            metavar="NAME",
        ),
        Option("processes", "processes that predict at once (default: the cores)", os.cpu_count(), int),
    ),
)
