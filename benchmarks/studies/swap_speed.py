"""Speed of a zeroth-order step: the cost of watching for outside reads, and the gain from `torch.compile`.

All alternatives take MeZO's steps on equal models and are timed in turns on the same random tokens. The
alternative without the watch perturbs a weight only in the forward of the module that owns it, so it is wrong
for models that read weights elsewhere.
"""

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median, quantiles

import torch
from tabulate import tabulate
from torch import Tensor, nn

from addax.swap_units import Unit
from addax.weight_swap import WeightSwap
from baselines.mezo import MeZO
from benchmarks import models
from benchmarks.models._devices import device_of
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study
from benchmarks.studies._speed import DEVICE, KEY, NANO, interleaved, opt, random_tokens
from benchmarks.studies._step_ways import LR, next_token_loss
from benchmarks.studies.step_speed import DTYPES

SHAPES = (NANO, "opt-125m")
WATCHED, UNWATCHED, COMPILED = "MeZO", "MeZO without the watch", "MeZO, compiled model"


class Unwatched(WeightSwap):
    """A weight swap that perturbs a weight only in the forward of the module that owns it."""

    def class_of(self, kind: type[Tensor]) -> type[Tensor]:
        """Return the parameter's own class."""
        return kind

    def find_units(self) -> list[Unit]:
        """Return the units that own parameters."""
        return [unit for unit in super().find_units() if unit.parameters]

    def is_aliased(self) -> bool:
        """Return False without looking."""
        return False


def speed(
    shape: str, dtype: torch.dtype, batch_size: int, length: int, repeats: int, device: str
) -> list[dict]:
    """Return a row per alternative, with its seconds per step and its times relative to MeZO's.

    Args:
        shape: one of `SHAPES`.
        dtype: dtype of the parameters.
        batch_size, length: size of the batches in examples, and their length in tokens.
        repeats: number of batches.
        device: "cpu" or "cuda".
    """
    if shape == NANO:
        model = models.load(NANO, dtype=dtype, device=device, head="lm").model.eval()
    else:
        model = opt(shape, dtype, device).eval()
    compiled = copy.deepcopy(model)
    compiled.compile()
    batches = random_tokens(model, batch_size, length, repeats, device)
    unwatched = MeZO(model, lr=LR)
    unwatched.perturbed_forward.swap = Unwatched(model, unwatched.indices)
    alternatives = {
        WATCHED: _step(MeZO(model, lr=LR), model),
        UNWATCHED: _step(unwatched, model),
        COMPILED: _step(MeZO(compiled, lr=LR), compiled),
    }
    # The compiler specializes the code at the first steps.
    for _ in range(2):
        alternatives[COMPILED](batches[0])
    times = interleaved(alternatives, batches, torch.device(device))
    setting = {
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "length": length,
        "device": device,
        "repeats": repeats,
    }
    rows = []
    for way, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times[WATCHED], strict=True)]
        low, _, high = quantiles(ratios)
        found = {"seconds": median(seconds), "ratio": median(ratios), "ratio_low": low, "ratio_high": high}
        rows.append(setting | {"way": way} | found | provenance_fields(device))
    return rows


def _step(method: MeZO, model: nn.Module) -> Callable[[Tensor], object]:
    return lambda ids: method.step(zo_loss=lambda: next_token_loss(model, ids))


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[list[dict]]:
    """Yield the rows of each requested shape."""
    device = device_of(options.device)
    for shape in options.shapes:
        say(f"{shape} in {options.dtype} on {device}")
        yield speed(shape, DTYPES[options.dtype], options.batch_size, options.length, options.repeats, device)


def table(rows: Sequence[Mapping]) -> str:
    """Return a Markdown table of the times and of their ratios to MeZO's."""
    lines = [
        {
            "model": f"{row['shape']} {row['dtype']}",
            "batch": f"{row['batch_size']} x {row['length']}",
            "step": row["way"],
            "time (ms)": f"{row['seconds'] * 1e3:.1f}",
            "relative to MeZO": f"{row['ratio']:.3f}",
            "quartiles": f"{row['ratio_low']:.3f} to {row['ratio_high']:.3f}",
        }
        for row in rows
    ]
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=[*["left"] * 3, *["right"] * 3])


STUDY = Study(
    measure,
    table,
    key=KEY,
    options=(
        Option(
            "shapes",
            f"models to time (default: {', '.join(SHAPES)})",
            SHAPES,
            many=True,
            choices=SHAPES,
            metavar="MODEL",
        ),
        Option("dtype", "dtype of the weights", "float32", choices=tuple(DTYPES)),
        Option("batch-size", "examples per batch", 4, int),
        Option("length", "tokens per sequence", 64, int),
        Option("repeats", "number of batches to time; the table shows medians", 30, int),
        DEVICE,
    ),
)
