"""The papers' memory figures: predicted peak memory of a step by batch size, length, and model size.

Rows of kind "predicted" come from `benchmarks.memory.estimator`, which runs a method's step on OPT with meta
tensors. Rows of kind "measured" have the same fields; saving predictions does not replace them.
"""

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from addax.memory import KINDS
from benchmarks import models
from benchmarks.config.methods import method_class
from benchmarks.errors import UserError
from benchmarks.memory import estimator
from benchmarks.models._trainable import LORA_ALPHA
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study, _memory_tables
from benchmarks.studies._memory_points import GRIDS, RANK, Point
from benchmarks.studies._processes import pool

DEVICE = "cuda"
LORA = {"r": RANK, "lora_alpha": LORA_ALPHA, "target_modules": ["q_proj", "v_proj"]}


def predict(point: Point) -> dict[str, Any]:
    """Return the fields of a row that describe the predicted memory of a step.

    Returns:
        split (bytes of each of `KINDS` at the peak), piece (the phase of the step that has the peak),
        peak_bytes, and backward: the same split at the start and the end of the backward pass, or None if the
        step has no backward pass.
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


def _split(sizes: Iterable[int]) -> dict[str, int]:
    return dict(zip(KINDS, sizes, strict=True))


def rows(points: Sequence[Point], processes: int) -> list[dict[str, Any]]:
    """Return a row per point. If several points share a step, predict it once.

    Args:
        points: the points, in the order of the rows.
        processes: number of processes that predict in parallel.

    Raises:
        UserError: a point has adapters, but peft is not installed.
    """
    if any(point.adapters for point in points) and importlib.util.find_spec("peft") is None:
        raise UserError("predictions for LoRA need peft, which is not installed: pip install -e '.[harness]'")
    provenance = provenance_fields("cpu")
    steps = list(dict.fromkeys(point.step for point in points))
    if processes == 1:
        found = dict(zip(steps, map(predict, steps), strict=True))
    else:
        with pool(processes) as workers:
            found = dict(zip(steps, workers.map(predict, steps), strict=True))
    return [_row(point) | found[point.step] | provenance for point in points]


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
    """Return a row per point of the figures in the options."""
    points = [point for what in GRIDS if what in options.figures for point in GRIDS[what]()]
    say(f"predicting {len(points)} points in {options.processes} processes")
    return rows(points, options.processes)


STUDY = Study(
    measure,
    _memory_tables.points,
    # Predictions replace only predictions of the same figure.
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
        Option(
            "processes",
            "number of processes that predict in parallel (default: number of cores)",
            os.cpu_count(),
            int,
        ),
    ),
)
