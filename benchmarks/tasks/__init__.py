"""Tasks: one file per task, each of which defines one `TASK`.

A row is one scored example in one canonical form, whatever its source (hub, file, generator). A task whose
rows come from a user's files needs neither a hub copy nor a generator. A TOML file describes a task without
Python; its path is the task's name.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any, Literal

from benchmarks import registry
from benchmarks.errors import UserError

Row = Mapping[str, Any]
Gold = int | list[int] | list[str]
Metric = Literal["accuracy", "f1", "exact_match", "class_f1", "matthews"]
Loss = Literal["classification", "teacher_forcing"]
# The metrics of generated answers, and those of all chosen classes together.
OF_GENERATED = ("f1", "exact_match")
OF_ALL_ANSWERS = ("class_f1", "matthews")


@dataclass(frozen=True)
class Hub:
    """The public copy of a task's data on the Hugging Face hub.

    Attributes:
        dataset: name of the dataset, as owner/name.
        config: its configuration; None for the only one.
        train, validation: names of its splits.
        revision: its branch, tag, or commit; None for the main branch. The hub keeps a copy without a script
            of a dataset with a loading script, which `datasets` no longer runs, in "refs/convert/parquet".
    """

    dataset: str
    config: str | None
    train: str = "train"
    validation: str = "validation"
    revision: str | None = None


@dataclass(frozen=True)
class Task:
    """A task: its data, prompts, answers, metric, and loss.

    The functions must return equal values for equal rows, and must not change a row. `load` checks the
    fields, and `benchmarks.data.example` checks what the functions return.

    Attributes:
        title: the name in tables ("SST-2").
        version: increased whenever a prompt, a candidate, or the canonical form changes.
        prompt: row -> the text before the answer.
        cloze: (row, mask) -> the text in which a masked model fills in the mask; None for the prompt followed
            by a space and the mask.
        candidates: row -> texts appended to the prompt, including the leading space; [] for generation.
        gold: row -> the index of the correct candidate; with loss "teacher_forcing" also a list of the
            indices of all correct candidates; for generation a list of answer strings.
        inputs: row -> one or two plain texts for a classification head, which uses no prompt.
        answer: row -> the text that teacher forcing trains on; None for the gold candidate.
        from_file: one raw row of a data file -> canonical rows; raises `ValueError` if the row is malformed.
            If `from_hub` exists, a row in the hub's form is accepted, too.
        hub, from_hub: the public copy, and a function from one of its raw rows to canonical rows; None if
            there is no public copy.
        generate: random generator -> one built-in canonical row; None if the task has no built-in rows.
        generator_version: increased whenever the built-in rows change, whether through `generate` or through
            what it imports.
        metric: "accuracy"; for generated answers "f1" (token F1, best over the gold answers) or "exact_match"
            (of the number after "####", see `benchmarks.evaluation.metrics`); with loss "classification" also
            "class_f1" (F1 of the second candidate, or the mean over more than two) or "matthews" (Matthews
            correlation, see `benchmarks.evaluation.class_metrics`).
        loss: "classification" for the cross-entropy over the candidates' mean token log-likelihoods;
            "teacher_forcing" for the mean cross-entropy of the correct answer's tokens.
        max_new_tokens: the maximum number of generated tokens; a newline ends generation earlier.
        rows_of: the task whose rows this task shares, from every source; set if only the prompt differs.
        name: the command-line name or the path of a TOML file, which `load` fills in.
    """

    title: str
    version: int
    prompt: Callable[[Row], str]
    candidates: Callable[[Row], list[str]]
    gold: Callable[[Row], Gold]
    inputs: Callable[[Row], tuple[str, ...]]
    from_file: Callable[[Row], Iterable[Row]]
    hub: Hub | None = None
    from_hub: Callable[[Row], Iterable[Row]] | None = None
    generate: Callable[[Random], Row] | None = None
    generator_version: int = 1
    metric: Metric = "accuracy"
    loss: Loss = "classification"
    answer: Callable[[Row], str] | None = None
    max_new_tokens: int = 50
    cloze: Callable[[Row, str], str] | None = None
    rows_of: str | None = None
    name: str = ""

    @property
    def generative(self) -> bool:
        """Whether the answer is generated rather than chosen among candidates."""
        return self.metric in OF_GENERATED

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that a run can choose from, starting with the task's own."""
        others = ("accuracy", *OF_ALL_ANSWERS) if self.loss == "classification" else ()
        return (self.metric, *(name for name in others if name != self.metric))


def versions(task: Task, data: str) -> dict[str, int]:
    """Return the fields of a result row that identify the version of a task.

    Args:
        task: a task from `load`.
        data: the source of its rows: "builtin", "hub", "folder", or "file". Only built-in rows are
            generated, by the task that provides the rows.

    Returns:
        task_version, and for built-in rows generator_version.
    """
    found = {"task_version": task.version}
    if data == "builtin":
        provider = load(task.rows_of) if task.rows_of else task
        found["generator_version"] = provider.generator_version
    return found


@cache
def load(name: str) -> Task:
    """Return the task defined by the file of this name, or by a TOML file.

    Args:
        name: command-line name, or the path of a TOML file (see `benchmarks.tasks._described`).

    Raises:
        UserError: no file has this name (the message suggests the nearest one), or the file's `TASK` or
            description is invalid.
    """
    # Imported here because both are about the classes of this module.
    from benchmarks.tasks import _contract, _described

    file = registry.path("task", name)
    task = _described.load(file) if registry.is_described(name) else registry.module("task", name).TASK
    problem = _contract.problem(task, name)
    if problem is not None:
        raise UserError(f"{file}: {problem}")
    return replace(task, name=name)
