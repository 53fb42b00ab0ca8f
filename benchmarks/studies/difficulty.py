"""Difficulty of the built-in tasks: zero-shot, MeZO, and Adam as in `quick`, and baselines without a model.

A trial is one setting of the knobs in `benchmarks.tasks._difficulty`. Its row holds the knobs and the scores,
and a new trial does not replace a trial with other knobs or other weights. The difficulty was set by looking
at these three methods only.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import mean
from typing import Any

from tabulate import tabulate

from benchmarks import models, tasks
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.evaluation import text_baselines
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Rows, Study, _criteria
from benchmarks.suites import quick
from benchmarks.tasks import _difficulty
from benchmarks.training import run

SEEDS = (0, 1, 2)
TEXT_BASELINES = {"majority": text_baselines.majority, "bag of words": text_baselines.bag_of_words}


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for every task of every model in the options."""
    rows = []
    for model in options.model:
        for task in options.task or quick.TASKS_OF[model]:
            rows.append(_trial(model, task))
            say(
                f"{model} {task}: "
                + ", ".join(f"{k} {100 * mean(v):.1f}" for k, v in rows[-1]["scores"].items())
            )
    return rows


def _trial(model: str, task_name: str) -> dict[str, Any]:
    task = tasks.load(task_name)
    scores: dict[str, list[float]] = {name: [] for name in (*TEXT_BASELINES, *_criteria.METHODS)}
    auc = []
    for seed in SEEDS:
        for method in _criteria.METHODS:
            spec = from_dict(quick.run_of(method, model, task_name, seed))
            splits = run.load(spec, None)
            row = run.run(spec, splits, suite="difficulty")
            scores[method].append(row["score"])
            if method == ZERO_SHOT:
                auc.append(row["test"]["auc"])
        for name, score in TEXT_BASELINES.items():
            scores[name].append(score(splits.train, splits.test))
    return {
        "model": model,
        "weights": _weights(model),
        "task": task_name,
        "task_title": task.title,
        "generator_version": task.generator_version,
        "knobs": asdict(_difficulty.KNOBS[task_name]),
        "seeds": list(SEEDS),
        "test_rows": len(splits.test),
        "scores": scores,
        "auc": None if None in auc else auc,
        "settings": {method: quick.SETTINGS.get(method, {}) for method in _criteria.METHODS},
        **provenance_fields(),
    }


def _weights(model: str) -> str:
    """Return 12 hexadecimal digits of a hash of a nano model's weights."""
    return hashlib.sha256((models.WEIGHTS / model / "model.safetensors").read_bytes()).hexdigest()[:12]


def scores_of(row: Mapping[str, Any]) -> _criteria.Scores:
    """Return the mean scores of a row, in percent, and the mean AUC of zero-shot."""
    means = {name: 100 * mean(values) for name, values in row["scores"].items()}
    auc = mean(row["auc"]) if row["auc"] else None
    return _criteria.Scores(row["task"], means, auc, means["majority"])


def latest(rows: Rows) -> list[Mapping[str, Any]]:
    """Return the last trial of each model and task."""
    return list({(row["model"], row["task"]): row for row in rows}.values())


def table(rows: Rows) -> str:
    """Return a table of the last trial of each model and task, with the criteria that it misses."""
    lines = []
    for row in latest(rows):
        found = scores_of(row)
        missed = [f.what for f in _criteria.of_task(found) if not f.met]
        lines.append({**_line(row), "misses": "; ".join(missed) or "nothing"})
    return tabulate(lines, headers="keys", floatfmt=".1f")


def trials(rows: Rows) -> str:
    """Return a Markdown table of all trials with their knobs, in the order in which they were made."""
    lines = [
        {"date": row["date"], "weights": row["weights"], **_line(row), "knobs": _knobs(row["knobs"])}
        for row in rows
    ]
    return tabulate(lines, headers="keys", tablefmt="pipe", floatfmt=".1f")


def baselines(rows: Rows) -> str:
    """Return a Markdown table of the text baselines: a line per baseline, a column per task."""
    last = {row["task"]: row for row in latest(rows) if row["model"] == quick.MODELS[0]}
    lines = [
        {"": name} | {row["task_title"]: f"{100 * mean(row['scores'][name]):.1f}" for row in last.values()}
        for name in TEXT_BASELINES
    ]
    return tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    found = scores_of(row)
    return {
        "model": row["model"],
        "task": row["task_title"],
        "AUC": "" if found.auc is None else f"{found.auc:.2f}",
        **found.score,
    }


def _knobs(knobs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in knobs.items())


STUDY = Study(
    measure,
    table,
    key=("model", "weights", "task", "knobs_id"),
    tables={"baselines": baselines, "trials": trials},
    options=(
        Option("model", "nano models", ["nano-opt", "nano-llama"], many=True, metavar="NAME"),
        Option("task", "tasks (default: the tasks of `quick`)", many=True, metavar="NAME"),
    ),
)
