"""Speed of a step, compared with its bare loss evaluations, the released arithmetic, and torch's optimizers.

Zeroth-order steps are compared with two forward passes, first-order steps with a forward and a backward pass,
and Addax with both. All alternatives share one model and are interleaved on the same random tokens; the
closure is their next-token loss. The learning rate is too small to change a weight, but it is not 0, because
our methods skip an update of 0.
"""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import median

import torch
from tabulate import tabulate
from torch import Tensor, nn

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from benchmarks import tasks
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models._devices import device_of
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study
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
from benchmarks.studies._step_costs import Step, costs_of

LR = 1e-30
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Examples per batch in the training step on SST-2.
TRAINING_BATCH = 16
# Parts of the study, each with its baseline: the bare loss evaluations.
BARE = {
    "zeroth order": "two forwards",
    "variance reduction": "four forwards",
    "first order": "forward, backward",
    "mixed": "two forwards; forward, backward",
}


def step(
    shape: str,
    dtype: torch.dtype,
    batch_size: int,
    length: int,
    repeats: int,
    device: str,
    parts: Collection[str] = tuple(BARE),
) -> list[dict]:
    """Return a row per part and alternative.

    A row has the seconds of a step, the seconds beyond the bare evaluations, the draws of z, the passes over
    theta, and the peak bytes.

    Args:
        shape: one of `SHAPES`.
        dtype: dtype of the parameters.
        batch_size, length: size of the batches in examples, and their length in tokens.
        repeats: number of batches; the times are medians over them.
        device: "cpu" or "cuda".
        parts: the parts to measure.
    """
    model = opt(shape, dtype, device)
    batches = random_tokens(model, batch_size, length, repeats, device)
    setting = {
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "length": length,
        "device": device,
        "theta_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
    }
    rows = []
    for part, alternatives in _parts(model).items():
        if part not in parts:
            continue
        for name, found in _measured(alternatives, model, batches, torch.device(device)).items():
            rows.append(setting | {"part": part, "way": name, **found, **provenance_fields(device)})
        model.zero_grad()
    return rows


def training_step(batch_size: int, repeats: int, device: str, data: str) -> list[dict]:
    """Return rows for MeZO's whole training step on SST-2, including scoring, ours and released."""
    loaded = nano_tokens_on_opt_125m(device)
    batches = training_batches("sst2", loaded, batch_size, repeats, data)
    shared, released = (
        Scorer(loaded, tasks.load("sst2"), scoring=way) for way in ("shared", "per_candidate")
    )
    ours, published = MeZO(loaded.model, lr=LR), PublishedMeZO(loaded.model, lr=LR)
    alternatives = {
        "released": lambda batch: published.step(zo_loss=lambda: released.loss(batch)),
        "ours": lambda batch: ours.step(zo_loss=lambda: shared.loss(batch)),
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


def next_token_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the mean next-token cross-entropy of ids `(batch, seq)`, in float32."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def _parts(model: nn.Module) -> dict[str, Mapping[str, Step]]:
    """Return the alternatives of each part, the bare evaluations first."""

    def loss(ids: Tensor) -> Tensor:
        return next_token_loss(model, ids)

    @torch.no_grad()
    def forwards(ids: Tensor) -> None:
        loss(ids)
        loss(ids)

    def backward(ids: Tensor) -> None:
        loss(ids).backward()
        model.zero_grad()

    def torch_step(optimizer: torch.optim.Optimizer) -> Step:
        def work(ids: Tensor) -> None:
            loss(ids).backward()
            optimizer.step()
            optimizer.zero_grad()

        return work

    def method_step(method) -> Step:
        return lambda ids: method.step(**dict.fromkeys(method.next_closures(), lambda: loss(ids)))

    published = PublishedMeZO(model, lr=LR)
    return {
        "zeroth order": {
            BARE["zeroth order"]: forwards,
            "released": lambda ids: published.step(zo_loss=lambda: loss(ids)),
            "released, our noise": method_step(MeZO(model, lr=LR, arithmetic="released")),
            "MeZO": method_step(MeZO(model, lr=LR)),
        },
        # The untimed first step sets the anchor; all others are minibatch steps.
        "variance reduction": {
            BARE["variance reduction"]: lambda ids: (forwards(ids), forwards(ids)),
            "MeZO-SVRG": method_step(MeZOSVRG(model, lr=LR, anchor_every=sys.maxsize)),
        },
        "first order": {
            BARE["first order"]: backward,
            "torch SGD": torch_step(torch.optim.SGD(model.parameters(), lr=LR)),
            "IP-SGD": method_step(IPSGD(model, lr=LR)),
            "SGD": method_step(SGD(model, lr=LR)),
            "torch Adam": torch_step(torch.optim.Adam(model.parameters(), lr=LR, fused=True)),
            "Adam": method_step(Adam(model, lr=LR)),
        },
        "mixed": {
            BARE["mixed"]: lambda ids: (forwards(ids), backward(ids)),
            "Addax": method_step(Addax(model, lr=LR)),
        },
    }


def _measured(
    alternatives: Mapping[str, Step], model: nn.Module, batches: list[Tensor], device: torch.device
) -> dict[str, dict]:
    """Return the costs of each alternative; the first one is the bare evaluations."""
    counts = {name: costs_of(work, model, batches[0], device) for name, work in alternatives.items()}
    times = interleaved(alternatives, batches, device)
    bare = times[next(iter(alternatives))]
    return {
        name: {
            "seconds": median(seconds),
            "beyond_seconds": median(a - b for a, b in zip(seconds, bare, strict=True)),
            **counts[name],
        }
        for name, seconds in times.items()
    }


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict]:
    """Return the rows of `step` and, for OPT-125M in float32, the rows of `training_step`."""
    device, dtype = device_of(options.device), DTYPES[options.dtype]
    say(f"{options.shape} in {options.dtype} on {device}: {', '.join(options.parts)}")
    rows = step(
        options.shape, dtype, options.batch_size, options.length, options.repeats, device, options.parts
    )
    if options.shape == "opt-125m" and dtype == torch.float32:
        say("MeZO's training step on SST-2")
        rows += training_step(TRAINING_BATCH, options.repeats, device, options.data)
    return rows


def table(rows: Sequence[dict]) -> str:
    """Return a Markdown table of the costs of each step.

    Overhead is the time beyond the bare evaluations. Extra memory is the peak memory beyond that of the bare
    evaluations, without the state that an optimizer keeps between steps.
    """
    lines = []
    for row in rows:
        same = [r for r in rows if r["part"] == row["part"] and r["shape"] == row["shape"]]
        same = [r for r in same if r["dtype"] == row["dtype"] and r["hardware"] == row["hardware"]]
        released = next((r for r in same if r["way"] == "released"), None)
        beyond = row.get("beyond_seconds")
        bare = row is same[0] and beyond is not None
        against = None
        if released is not None and not bare and row is not released:
            key = "seconds" if beyond is None else "beyond_seconds"
            against = row[key] / released[key]
        lines.append(
            {
                "model": f"{row['shape']} {row['dtype']}",
                "part": row["part"],
                "step": row["way"],
                "time (s)": f"{row['seconds']:.3f}",
                "overhead (s)": "" if bare or beyond is None else f"{beyond:.3f}",
                "relative to released": "" if against is None else f"{against:.2f}",
                "draws of z": _number(row.get("draws"), ".2f"),
                "passes over theta": _number(row.get("passes"), ".2f"),
                "extra memory (MB)": _number(
                    None if bare or beyond is None else (row["peak_bytes"] - same[0]["peak_bytes"]) / 1e6,
                    ".0f",
                ),
            }
        )
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=[*["left"] * 3, *["right"] * 6])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


STUDY = Study(
    measure,
    table,
    key=KEY,
    options=(
        Option("shape", "OPT architecture, with random weights", "opt-125m", choices=SHAPES),
        Option("dtype", "dtype of the weights", "float32", choices=tuple(DTYPES)),
        Option(
            "parts",
            f"parts to time (default: {', '.join(BARE)})",
            tuple(BARE),
            many=True,
            choices=tuple(BARE),
            metavar="PART",
        ),
        Option("batch-size", "examples per batch", 4, int),
        Option("length", "tokens per sequence", 64, int),
        REPEATS,
        DEVICE,
        DATA,
    ),
)
