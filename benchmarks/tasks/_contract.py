"""The contract of a task's fields, which `benchmarks.tasks.load` checks before any row is read."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

from benchmarks import registry
from benchmarks.errors import unknown
from benchmarks.tasks import OF_ALL_ANSWERS, Hub, Loss, Metric, Task

REQUIRED = ("prompt", "candidates", "gold", "inputs", "from_file")
OPTIONAL = ("from_hub", "generate", "answer", "cloze")


def problem(task: Any, name: str) -> str | None:
    """Return what is wrong with the `TASK` of a file and how to correct it; None if it is valid.

    Args:
        task: the value of `TASK`.
        name: the task's name.
    """
    if not isinstance(task, Task):
        return f"TASK is a {type(task).__name__}, not a Task"
    return next((found for check in CHECKS if (found := check(task, name)) is not None), None)


def _values(task: Task, name: str) -> str | None:
    if not isinstance(task.title, str) or not task.title.strip():
        return f"title must be a text, not {task.title!r}"
    for field in ("version", "generator_version", "max_new_tokens"):
        value = getattr(task, field)
        if type(value) is not int or value < 1:
            return f"{field} must be a whole number of at least 1, not {value!r}"
    for field, known in (("metric", get_args(Metric)), ("loss", get_args(Loss))):
        value = getattr(task, field)
        if value not in known:
            return str(unknown(field, str(value), known))
    return None


def _functions(task: Task, name: str) -> str | None:
    for field in (*REQUIRED, *OPTIONAL):
        value = getattr(task, field)
        if not isinstance(value, Callable) and not (field in OPTIONAL and value is None):
            return f"{field} must be a function, not {value!r:.40}; write {field}=lambda row: ..."
    return None


def _sources(task: Task, name: str) -> str | None:
    if (task.hub is None) != (task.from_hub is None):
        return "set both hub and from_hub, or neither"
    if task.hub is not None:
        if not isinstance(task.hub, Hub):
            return f'hub must be a Hub, not {task.hub!r:.40}; write Hub("owner/name", None)'
        for field in dataclasses.fields(Hub):
            value = getattr(task.hub, field.name)
            if not isinstance(value, str) and not (field.name in ("config", "revision") and value is None):
                return f"{field.name} of hub must be a text, not {value!r:.40}"
    if task.rows_of is None:
        return None
    known = [other for other in registry.files("task") if other != name]
    if task.rows_of not in known:
        return f"rows_of: {unknown('task', str(task.rows_of), known)}"
    return None


def _combinations(task: Task, name: str) -> str | None:
    if task.generative and task.loss != "teacher_forcing":
        return f"metric={task.metric!r} is for generated answers: set loss='teacher_forcing'"
    if task.generative and task.answer is None:
        return f"metric={task.metric!r} needs answer, the text that teacher forcing trains on"
    if task.metric in OF_ALL_ANSWERS and task.loss != "classification":
        return f"metric={task.metric!r} compares classes: set loss='classification', or metric='accuracy'"
    if task.loss == "classification" and task.answer is not None:
        return "answer has no effect with loss='classification': remove it, or set loss='teacher_forcing'"
    if task.generate is None and task.generator_version != 1:
        return "generator_version has no effect without generate, the source of built-in rows: remove it"
    default = next(f.default for f in dataclasses.fields(Task) if f.name == "max_new_tokens")
    if not task.generative and task.max_new_tokens != default:
        return f"max_new_tokens has no effect with metric={task.metric!r}, which generates nothing: remove it"
    return None


CHECKS = (_values, _functions, _sources, _combinations)
