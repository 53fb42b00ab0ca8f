"""Speed of a step, compared with its bare loss evaluations, the released arithmetic, and torch's optimizers.

Zeroth-order steps are compared with two forward passes, first-order steps with a forward and a backward pass,
and Addax with both. The alternatives of a part share one model and take turns on the same random tokens; the
closure is their next-token loss. The learning rate is too small to change a weight, but it is not 0, because
our methods skip an update of 0. Rows are saved part by part. A way that runs out of memory gets a row that
says so.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import torch

from baselines.mezo import MeZO
from benchmarks import tasks
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models._devices import device_of
from benchmarks.profiling.environment import provenance_fields
from benchmarks.profiling.oom import is_out_of_memory
from benchmarks.studies import Option, Study, _host_time
from benchmarks.studies._published_mezo import PublishedMeZO
from benchmarks.studies._speed import (
    DATA,
    DEVICE,
    KEY,
    REPEATS,
    SHAPES,
    interleaved,
    nano_tokens_on_opt_125m,
    opt,
    random_tokens,
    training_batches,
)
from benchmarks.studies._step_costs import measured
from benchmarks.studies._step_tables import table
from benchmarks.studies._step_ways import BARE, LR, ways_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Examples per batch in the training step on SST-2.
TRAINING_BATCH = 16
PARTS = (*BARE, _host_time.PART)
#: Examples and tokens of a batch.
Size = tuple[int, int]


def step(
    shape: str,
    dtype: torch.dtype,
    zo: Size,
    repeats: int,
    device: str,
    *,
    fo: Size | None = None,
    parts: Sequence[str] = tuple(BARE),
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each part, one row per alternative.

    A row has the seconds of a step, the seconds beyond the bare evaluations, the draws of z, the passes over
    theta, and the peak bytes. If memory runs out, the seconds are None, and "reason" says so.

    Args:
        shape: one of `SHAPES`.
        dtype: dtype of the parameters.
        zo: size of the batches of zeroth-order losses.
        repeats: number of batches; the times are medians over them.
        device: "cpu" or "cuda".
        fo: size of the batches of first-order losses; None means `zo`.
        parts: the parts to measure.

    Raises:
        UserError: the model itself does not fit into memory.
    """
    try:
        model = opt(shape, dtype, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"--shape {shape}: the weights alone do not fit into memory ({device})") from None
    fo = fo or zo
    batches = list(zip(*(random_tokens(model, *size, repeats, device) for size in (zo, fo)), strict=True))
    setting = {
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "device": device,
        "theta_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
    }
    for part, ways in ways_of(model).items():
        if part not in parts:
            continue
        size = dict(zip(("batch_size", "length"), fo if part == "first order" else zo, strict=True))
        if part == "mixed":
            size |= {"fo_batch_size": fo[0], "fo_length": fo[1]}
        found = measured(ways, model, batches, torch.device(device))
        yield [
            setting | size | {"part": part, "way": way} | costs | provenance_fields(device)
            for way, costs in found.items()
        ]


def training_step(batch_size: int, repeats: int, device: str, data: str) -> list[dict]:
    """Return rows for MeZO's whole training step on SST-2, including scoring, ours and released."""
    loaded = nano_tokens_on_opt_125m(device)
    batches = training_batches("sst2", loaded, batch_size, repeats, data)
    shared, released = (
        Scorer(loaded, tasks.load("sst2"), scoring=way) for way in ("shared", "per_candidate")
    )
    published = PublishedMeZO(loaded.model, lr=LR)

    def ours(direction: str) -> Callable[[Sequence[Encoded]], object]:
        method = MeZO(loaded.model, lr=LR, direction=direction)

        def work(batch: Sequence[Encoded]) -> None:
            prepared = shared.prepare(batch)
            method.step(zo_loss=lambda: shared.loss(prepared))

        return work

    alternatives = {
        "released": lambda batch: published.step(zo_loss=lambda: released.loss(batch)),
        "ours": ours("normal"),
        "ours, Rademacher": ours("rademacher"),
    }
    times = interleaved(alternatives, batches, torch.device(device))
    setting = {
        "shape": "opt-125m",
        "dtype": "float32",
        "batch_size": batch_size,
        "device": device,
        "data": data if data == "builtin" else "folder",
        "part": "MeZO on SST-2",
    }
    return [
        setting | {"way": name, "seconds": median(times[name])} | provenance_fields(device)
        for name in alternatives
    ]


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each part and, for OPT-125M in float32, the rows of `training_step`."""
    device, dtype = device_of(options.device), DTYPES[options.dtype]
    say(f"{options.shape} in {options.dtype} on {device}: {', '.join(options.parts)}")
    zo = (options.batch_size, options.length)
    fo = (options.fo_batch_size or zo[0], options.fo_length or zo[1])
    if any(part in options.parts for part in BARE):
        yield from step(options.shape, dtype, zo, options.repeats, device, fo=fo, parts=options.parts)
    if _host_time.PART in options.parts:
        say("host time of MeZO's step on tiny tensors")
        yield _host_time.rows_of(options.dtype, device, options.repeats, options.reference_source)
    if options.shape == "opt-125m" and dtype == torch.float32:
        say("MeZO's training step on SST-2")
        yield training_step(TRAINING_BATCH, options.repeats, device, options.data)


STUDY = Study(
    measure,
    table,
    key=(*KEY, "part", "fo_batch_size", "fo_length"),
    options=(
        Option("shape", "OPT architecture, with random weights", "opt-125m", choices=SHAPES),
        Option("dtype", "dtype of the weights", "float32", choices=tuple(DTYPES)),
        Option(
            "parts",
            f"parts to time (default: {', '.join(PARTS)})",
            PARTS,
            many=True,
            choices=PARTS,
            metavar="PART",
        ),
        Option("batch-size", "examples per batch", 4, int),
        Option("length", "tokens per sequence", 64, int),
        Option("fo-batch-size", "examples per first-order batch (default: --batch-size)", None, int),
        Option("fo-length", "tokens per first-order sequence (default: --length)", None, int),
        REPEATS,
        DEVICE,
        DATA,
        Option(
            "reference-source",
            "folder of another checkout, whose host time is measured beside ours (default: none)",
            metavar="DIR",
        ),
    ),
)
