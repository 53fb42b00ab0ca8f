"""Lengths of training examples in tokens, and how L_T divides them.

Training compares these lengths with L_T: the length of the longest sequence that a step may run on an
example, with prompt and candidates encoded by `benchmarks.data.tokenize`. No weights are loaded.
"""

import argparse
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from addax.assignment import assign, quantile
from benchmarks import models, tasks
from benchmarks.config.spec import RunSpec
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.errors import UserError
from benchmarks.models._fetch import WHEELS
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study
from benchmarks.suites.quick import SETTINGS, TASKS

QUANTILES = ("q0.25", "q0.5", "q0.75", "q0.9", "q0.99")
THRESHOLD = SETTINGS["addax"]["length_threshold"]
BINS = 30


def places(data: str | None) -> list[str]:
    """The sources that `--data` asks for; without it the built-in rows, and the folder $ADDAX_DATA."""
    given = [data] if data else ["builtin", *filter(None, [os.environ.get("ADDAX_DATA")])]
    for place in given:
        if place not in ("builtin", "hub") and not Path(place).is_dir():
            raise UserError(f"no such data folder: {place} (--data takes builtin, hub or a folder)")
    return given


def models_for(place: str) -> list[str]:
    """Models that know the language of a source: the nano models for built-in rows, else the fetched ones."""
    own = [name for name in sorted(models.builtin()) if (models.WEIGHTS / name).is_dir()]
    return own if place == "builtin" else list(WHEELS)


def head_of(name: str) -> str:
    """The head that a model is trained with: "lm", or "classification" where its files have no such head."""
    known = models.load_config(name).architectures or ["LM"]
    return "lm" if any("LM" in architecture for architecture in known) else "classification"


def histogram(lengths: Sequence[int], threshold: int) -> tuple[list[float], list[int]]:
    """Edges and counts of about `BINS` bins of one width, with an edge just above `threshold`.

    >>> histogram([3, 4, 4, 9], threshold=4)[0][:3]
    [2.5, 3.5, 4.5]
    """
    low, high = min(lengths), max(lengths)
    width = math.ceil((high - low + 1) / BINS)
    first = threshold + 0.5 - width * math.ceil((threshold - low + 1) / width)
    count = math.ceil((high + 0.5 - first) / width)
    found = Counter(int((length - first) // width) for length in lengths)
    return [first + width * k for k in range(count + 1)], [found[k] for k in range(count)]


def measure_source(place: str, names: Sequence[str], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each of the nine tasks and each tokenizer of one source.

    A task that a model cannot train on is left out and reported.

    Args:
        place: "builtin", "hub" or a folder.
        names: of models.
        say: reports what is left out, and why.

    Raises:
        UserError: an unknown model, or one that cannot be read.
    """
    loaded = [(models.load_tokenizer(name), head_of(name)) for name in names]
    rows = []
    for task_name in TASKS:
        task = tasks.load(task_name)
        try:
            splits = load_splits(
                task_name,
                place,
                train=RunSpec.train_rows,
                validation=RunSpec.validation_rows,
                test=RunSpec.test_rows,
                seed=RunSpec.data_seed,
            )
        except UserError as error:
            say(f"left out: {error}")
            continue
        for model, head in loaded:
            try:
                if head == "classification" and task.loss == "teacher_forcing":
                    raise UserError(f"task {task.title} has no fixed classes: {model.name} has no other head")
                examples = encode(splits.train, task, model, head)
            except UserError as error:
                say(f"left out: {error}")
                continue
            rows.append(
                {
                    "data": splits.source,
                    "data_fingerprint": splits.fingerprint,
                    "task": task_name,
                    "task_title": task.title,
                    "task_version": task.version,
                    "tokenizer": model.name,
                    "head": head,
                    "max_length": model.max_length,
                    **summary([example.length for example in examples]),
                    **provenance_fields(),
                }
            )
    return rows


def summary(lengths: Sequence[int]) -> dict[str, Any]:
    """The part of a row that describes lengths, all in tokens."""
    at = quantile(lengths, float(THRESHOLD[1:]))
    part = assign(lengths, at)
    edges, counts = histogram(lengths, at)
    return {
        "n": len(lengths),
        "minimum": min(lengths),
        "maximum": max(lengths),
        "quantiles": {name: quantile(lengths, float(name[1:])) for name in QUANTILES},
        "length_threshold": THRESHOLD,
        "length_threshold_tokens": at,
        "d0_rows": len(part.zo),
        "d1_rows": len(part.fo),
        "edges": edges,
        "counts": counts,
    }


def table(rows: Sequence[dict]) -> str:
    """Text, a line for each row: median, L_T and longest in tokens, and the share of examples in D1."""
    lines = [
        {
            "data": row["data"],
            "tokenizer": row["tokenizer"],
            "task": row["task_title"],
            "n": row["n"],
            "median": row["quantiles"]["q0.5"],
            f"L_T ({row['length_threshold']})": row["length_threshold_tokens"],
            "in D1": f"{100 * row['d1_rows'] / row['n']:.1f} %",
            "longest": row["maximum"],
        }
        for row in sorted(rows, key=lambda row: (row["data"], row["tokenizer"]))
    ]
    return tabulate(lines, headers="keys")


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows of every source and tokenizer that the options name.

    Raises:
        UserError: no task of these data can be encoded for these models.
    """
    rows = []
    for place in places(options.data):
        rows += measure_source(place, options.model or models_for(place), say)
    if not rows:
        raise UserError("no task of these data can be encoded for these models")
    return rows


STUDY = Study(
    measure,
    table,
    key=("data", "tokenizer"),
    order=lambda row: (row["data"], row["tokenizer"], row["task"]),
    figures=("lengths",),
    options=(
        Option("data", "builtin, hub or a folder (default: builtin, and $ADDAX_DATA where it is set)"),
        Option(
            "model",
            "models whose tokenizers to use (default: the nano models on built-in rows, "
            f"else {', '.join(WHEELS)})",
            many=True,
            metavar="NAME",
        ),
    ),
)
