"""Difficulty of the built-in tasks: zero-shot, MeZO, and Adam as in `quick`, and baselines without a model.

The difficulty of a task is set by the knobs in `benchmarks.tasks._difficulty`, looking at these three methods
only. A row holds the knobs, a hash of the model's weights, and the scores.
"""

import argparse
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from statistics import mean
from typing import Any

from tabulate import tabulate

from benchmarks import models, tasks
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.evaluation.majority import majority
from benchmarks.evaluation.text_baselines import bag_of_words
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Rows, Study, _criteria
from benchmarks.suites import quick
from benchmarks.tasks import _difficulty
from benchmarks.tasks._usage import Usage
from benchmarks.training import run

SEEDS = (0, 1, 2)
MODELS = ("nano-opt", "nano-llama")
LONG_TASKS = ("boolq-long", "multirc-long", "squad-long")
TEXT_BASELINES = {"majority": majority, "bag of words": bag_of_words}
# Runs of a task whose long examples matter: name -> method and changes to the settings of `quick`.
LONG_RUNS = {
    ZERO_SHOT: (ZERO_SHOT, {}),
    "adam": ("adam", {}),
    _criteria.ADAM_SHORT: ("adam", {"train_on": "short"}),
}


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for every task of every model in the options."""
    rows = []
    for model in options.model:
        for task in options.task or default_tasks(model):
            rows.append(row_of(model, task))
            means = ", ".join(f"{k} {100 * mean(v):.1f}" for k, v in rows[-1]["scores"].items())
            say(f"{model} {task}: {means}")
    return rows


def default_tasks(model: str) -> tuple[str, ...]:
    """Return the tasks of `quick`, and those with long examples for the first model."""
    return quick.TASKS_OF[model] + (LONG_TASKS if model == MODELS[0] else ())


def row_of(model: str, task_name: str) -> dict[str, Any]:
    """Return the row of one model and task.

    For a task whose long examples matter, the scores are those on long test rows.
    """
    task, is_long = tasks.load(task_name), task_name in LONG_TASKS
    runs = LONG_RUNS if is_long else {method: (method, {}) for method in _criteria.METHODS}
    baselines = {} if is_long else TEXT_BASELINES
    scores: dict[str, list[float]] = {name: [] for name in (*baselines, *runs)}
    auc = []
    for seed in SEEDS:
        for name, (method, changes) in runs.items():
            above = {"long_above": _difficulty.LONG_ABOVE} if is_long else {}
            spec = from_dict(quick.run_of(method, model, task_name, seed) | changes | above)
            splits = run.load(spec, None)
            row = run.run(spec, splits, suite="difficulty")
            scores[name].append(row["test_long" if is_long else "test"]["score"])
            if method == ZERO_SHOT:
                auc.append(row["test"]["auc"])
        for name, score in baselines.items():
            scores[name].append(score(splits.train, splits.test))
    settings = {method: quick.settings_of(method) for method in ("mezo", "adam")}
    return {
        "model": model,
        "weights": weights_of(model),
        "task": task_name,
        "task_title": task.title,
        **tasks.versions(task, "builtin"),
        "data": "builtin",
        "knobs": knobs_text(task_name),
        "settings": "; ".join(f"{method} {_text(values)}" for method, values in settings.items()),
        "seeds": list(SEEDS),
        "test_rows": len(splits.test),
        "scores": scores,
        "auc": None if None in auc else auc,
        **provenance_fields("cpu"),
    }


def weights_of(model: str) -> str:
    """Return 12 hexadecimal digits of a hash of a nano model's weights."""
    return hashlib.sha256((models.WEIGHTS / model / "model.safetensors").read_bytes()).hexdigest()[:12]


def knobs_text(task: str) -> str:
    """Return the current knobs of a task as text."""
    return _text(_knobs(task))


def _knobs(task: str) -> dict[str, Any]:
    """Return the knobs of a task that differ from their defaults; those of long rows are marked."""
    usage = getattr(_difficulty, task.upper().replace("-", "_"))
    short, *rest = usage if isinstance(usage, tuple) else (usage,)
    found = _changed(short)
    for long in rest:
        found |= {f"long {name}": value for name, value in _changed(long).items()}
    return found


def _changed(usage: Usage) -> dict[str, Any]:
    return {f.name: getattr(usage, f.name) for f in fields(usage) if getattr(usage, f.name) != f.default}


def _text(values: Mapping[str, Any]) -> str:
    """Return settings as text.

    >>> _text({"familiar": 0.35, "new": (0, 4)})
    'familiar 0.35, new 0 to 4'
    """
    texts = {k: " to ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in values.items()}
    return ", ".join(f"{name} {value}" for name, value in texts.items())


def scores_of(row: Mapping[str, Any]) -> _criteria.Scores:
    """Return the mean scores of a row, in percent, and the mean AUC of zero-shot."""
    means = {name: 100 * mean(values) for name, values in row["scores"].items()}
    return _criteria.Scores(
        row["task"], means, mean(row["auc"]) if row["auc"] else None, means.get("majority")
    )


def findings(row: Mapping[str, Any]) -> list[_criteria.Finding]:
    """Return the criteria that a row's task must meet by itself."""
    check = _criteria.of_long_task if row["task"] in LONG_TASKS else _criteria.of_task
    return check(scores_of(row))


def table(rows: Rows) -> str:
    """Return a text table of the scores on each model and task, with the criteria that are missed."""
    return tabulate([_line(row) for row in rows], headers="keys", disable_numparse=True)


def short_tasks(rows: Rows) -> str:
    """Return a Markdown table of the scores on each model and task of `quick`, with the knobs."""
    return _pipe([_line(row) | {"knobs": row["knobs"]} for row in rows if row["task"] not in LONG_TASKS])


def long_rows(rows: Rows) -> str:
    """Return a Markdown table of the scores on the long test rows of the tasks whose long examples matter."""
    return _pipe([_line(row) for row in rows if row["task"] in LONG_TASKS])


def baselines(rows: Rows) -> str:
    """Return a Markdown table of the scores without a model: a line per baseline, a column per task."""
    shown = [row for row in rows if row["model"] == MODELS[0] and row["task"] in quick.TASKS]
    lines = [
        {"baseline": name} | {row["task_title"]: f"{100 * mean(row['scores'][name]):.1f}" for row in shown}
        for name in TEXT_BASELINES
    ]
    return _pipe(lines)


def _line(row: Mapping[str, Any]) -> dict[str, str]:
    found = scores_of(row)
    names = (*TEXT_BASELINES, *_criteria.METHODS, _criteria.ADAM_SHORT)
    return {
        "model": row["model"],
        "task": row["task_title"],
        "AUC": "" if found.auc is None else f"{found.auc:.2f}",
        **{name: f"{found.score[name]:.1f}" if name in found.score else "" for name in names},
        "misses": "; ".join(f.what for f in findings(row) if not f.met),
    }


def _pipe(lines: list[dict[str, str]]) -> str:
    """Return a Markdown table without the columns that are empty in every line."""
    empty = {name for name in lines[0] if not any(line[name] for line in lines)}
    kept = [{name: value or "–" for name, value in line.items() if name not in empty} for line in lines]
    return tabulate(kept, headers="keys", tablefmt="pipe", disable_numparse=True)


STUDY = Study(
    measure,
    table,
    key=("model", "task"),
    tables={"baselines": baselines, "short": short_tasks, "long": long_rows},
    options=(
        Option("model", "nano models", list(MODELS), many=True, metavar="NAME"),
        Option(
            "task", "tasks (default: those of quick, and those with long examples)", many=True, metavar="NAME"
        ),
    ),
)
