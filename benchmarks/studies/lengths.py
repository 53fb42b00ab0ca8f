"""Lengths of training examples in tokens, and their split at L_T.

The length of an example is that of the longest sequence that a step may run on it, with prompt and candidates
encoded by `benchmarks.data.tokenize`. Training compares these lengths with L_T. No weights are loaded.
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


def data_sources(data: str | None) -> list[str]:
    """Return the data sources for `--data`; the default is the built-in data and the folder $ADDAX_DATA."""
    given = [data] if data else ["builtin", *filter(None, [os.environ.get("ADDAX_DATA")])]
    for source in given:
        if source not in ("builtin", "hub") and not Path(source).is_dir():
            raise UserError(f"no such data folder: {source} (--data takes builtin, hub, or a folder)")
    return given


def models_for(source: str) -> list[str]:
    """Return the default models for a data source: nano models for built-in data, else the fetched models."""
    nano = [name for name in sorted(models.builtin()) if (models.WEIGHTS / name).is_dir()]
    return nano if source == "builtin" else list(WHEELS)


def head_of(name: str) -> str:
    """Return the head that a model trains with: "lm", or "classification" if its files have no LM head."""
    architectures = models.load_config(name).architectures or ["LM"]
    return "lm" if any("LM" in architecture for architecture in architectures) else "classification"


def histogram(lengths: Sequence[int], threshold: int) -> tuple[list[float], list[int]]:
    """Return the edges and counts of about `BINS` bins of equal width, with an edge just above `threshold`.

    >>> histogram([3, 4, 4, 9], threshold=4)[0][:3]
    [2.5, 3.5, 4.5]
    """
    low, high = min(lengths), max(lengths)
    width = math.ceil((high - low + 1) / BINS)
    first = threshold + 0.5 - width * math.ceil((threshold - low + 1) / width)
    count = math.ceil((high + 0.5 - first) / width)
    found = Counter(int((length - first) // width) for length in lengths)
    return [first + width * k for k in range(count + 1)], [found[k] for k in range(count)]


def measure_source(source: str, names: Sequence[str], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for each of the nine tasks and each tokenizer, for one data source.

    Tasks that a model cannot train on are skipped with a message.

    Args:
        source: "builtin", "hub", or a folder.
        names: names of models.
        say: prints a line about each skipped task.

    Raises:
        UserError: a model is unknown or cannot be read.
    """
    loaded = [(models.load_tokenizer(name), head_of(name)) for name in names]
    rows = []
    for task_name in TASKS:
        task = tasks.load(task_name)
        try:
            splits = load_splits(
                task_name,
                source,
                train=RunSpec.train_rows,
                validation=RunSpec.validation_rows,
                test=RunSpec.test_rows,
                seed=RunSpec.data_seed,
            )
        except UserError as error:
            say(f"skipped: {error}")
            continue
        for model, head in loaded:
            try:
                if head == "classification" and task.loss == "teacher_forcing":
                    raise UserError(
                        f"task {task.title} needs a language model head, which {model.name} does not have"
                    )
                examples = encode(splits.train, task, model, head)
            except UserError as error:
                say(f"skipped: {error}")
                continue
            rows.append(
                {
                    "data": splits.source,
                    "data_fingerprint": splits.fingerprint,
                    "task": task_name,
                    "task_title": task.title,
                    **tasks.versions(task, splits.source),
                    "tokenizer": model.name,
                    "head": head,
                    "max_length": model.max_length,
                    **summary([example.length for example in examples]),
                    **provenance_fields("cpu"),
                }
            )
    return rows


def summary(lengths: Sequence[int]) -> dict[str, Any]:
    """Return the fields of a row that describe the lengths, in tokens."""
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
    """Return a text table of the median, L_T, and maximum in tokens, and the share of examples in D1."""
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
    """Return rows for every data source and tokenizer in the options.

    Raises:
        UserError: no task of the data can be encoded for the models.
    """
    rows = []
    for source in data_sources(options.data):
        rows += measure_source(source, options.model or models_for(source), say)
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
        Option("data", "builtin, hub, or a folder (default: builtin, and $ADDAX_DATA if it is set)"),
        Option(
            "model",
            "models whose tokenizers to use (default: the nano models for builtin, "
            f"otherwise {', '.join(WHEELS)})",
            many=True,
            metavar="NAME",
        ),
    ),
)
