"""Speed of scoring all candidates in one forward pass, compared with one sequence per candidate.

Both procedures run the training loss and the evaluation of `benchmarks.evaluation.scoring` on the same
batches, with OPT-125M's architecture. Their losses must agree within `TOLERANCE`.
"""

import argparse
from collections.abc import Callable, Sequence
from statistics import median

import torch
from tabulate import tabulate

from benchmarks import tasks
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.evaluate import evaluate
from benchmarks.evaluation.scoring import SCORINGS, Scorer
from benchmarks.models._devices import device_of
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study
from benchmarks.studies._speed import (
    DATA,
    DEVICE,
    KEY,
    REPEATS,
    interleaved,
    nano_tokens_on_opt_125m,
    training_batches,
)

TASKS = ("sst2", "cb")
TOLERANCE = 1e-5


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict]:
    """Return a row per task and part with the seconds of both procedures and the largest loss difference."""
    batch_size, repeats, data = options.batch_size, options.repeats, options.data
    device = device_of(options.device)
    torch.manual_seed(0)
    loaded = nano_tokens_on_opt_125m(device)
    rows = []
    for name in TASKS:
        say(f"{name}: timing both procedures")
        batches = training_batches(name, loaded, batch_size, repeats, data)
        scorers = {way: Scorer(loaded, tasks.load(name), scoring=way) for way in SCORINGS}
        with torch.no_grad():
            losses = [[float(s.loss(batch)) for s in scorers.values()] for batch in batches]
        difference = max(abs(ours - released) for ours, released in losses)
        parts: dict[str, Callable[[Scorer, Sequence[Encoded]], object]] = {
            "zeroth-order loss": _forward,
            "first-order loss and backward": _backward,
            "evaluation": lambda scorer, batch: evaluate(scorer, batch, batch_size),
        }
        for part, work in parts.items():
            alternatives = {way: lambda batch, s=s, work=work: work(s, batch) for way, s in scorers.items()}
            times = {
                k: median(v) for k, v in interleaved(alternatives, batches, torch.device(device)).items()
            }
            rows.append(
                {
                    "task_title": tasks.load(name).title,
                    "part": part,
                    "batch_size": batch_size,
                    "data": data if data == "builtin" else "folder",
                    "seconds": times["shared"],
                    "released_seconds": times["per_candidate"],
                    "ratio": times["per_candidate"] / times["shared"],
                    "loss_difference": difference,
                    **provenance_fields(device),
                }
            )
    return rows


def _forward(scorer: Scorer, batch: Sequence[Encoded]) -> None:
    with torch.no_grad():
        scorer.loss(batch)


def _backward(scorer: Scorer, batch: Sequence[Encoded]) -> None:
    scorer.loss(batch).backward()
    scorer.model.zero_grad()


def table(rows: Sequence[dict]) -> str:
    """Return a Markdown table of the seconds of both procedures, their ratio, and their loss difference."""
    lines = [
        {
            "task": row["task_title"],
            "part": row["part"],
            "ours (s)": f"{row['seconds']:.3f}",
            "released (s)": f"{row['released_seconds']:.3f}",
            "ratio": f"{row['ratio']:.2f}x",
            "largest loss difference": f"{row['loss_difference']:.1e}",
        }
        for row in rows
    ]
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=["left", "left", *["right"] * 4])


def disagreement(rows: Sequence[dict]) -> str | None:
    """Return a message if the losses of both procedures differ by more than `TOLERANCE`, else None."""
    worst = max(row["loss_difference"] for row in rows)
    return None if worst <= TOLERANCE else f"the losses differ by {worst:.1e}, more than {TOLERANCE}"


STUDY = Study(
    measure,
    table,
    key=KEY,
    options=(Option("batch-size", "examples per batch", 8, int), REPEATS, DEVICE, DATA),
    problem=disagreement,
)
