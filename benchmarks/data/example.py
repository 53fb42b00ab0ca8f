"""Examples: rows of a task and the texts rendered from them, each at most once."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from benchmarks import registry
from benchmarks.data import values
from benchmarks.data.values import MASK, TaskError
from benchmarks.errors import first_line
from benchmarks.tasks import Gold, Row, Task, _fields

_to_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class Example:
    """A canonical row of a task. Examples are equal if their rows are.

    Attributes:
        task: the task, which renders the texts.
        row: the canonical row.
    """

    task: Task = field(repr=False, compare=False)
    row: Row

    @cached_property
    def key(self) -> str:
        """The row as JSON text; equal rows have equal keys."""
        return _to_json(self.row)

    @cached_property
    def prompt(self) -> str:
        """The text before the answer."""
        return self.task.prompt(self.row)

    @cached_property
    def candidates(self) -> list[str]:
        """The texts that may follow the prompt; empty for generation."""
        return self.task.candidates(self.row)

    @cached_property
    def gold(self) -> Gold:
        """The index of the correct candidate, the indices of all correct ones, or the answer strings."""
        return self.task.gold(self.row)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """One or two plain texts for a classification head."""
        return self.task.inputs(self.row)

    @cached_property
    def answer(self) -> str:
        """The text that teacher forcing trains on."""
        if self.task.answer is not None:
            return self.task.answer(self.row)
        return self.candidates[self.gold if isinstance(self.gold, int) else self.gold[0]]

    @cached_property
    def _cloze(self) -> str:
        return self.task.cloze(self.row, MASK) if self.task.cloze else f"{self.prompt} {MASK}"

    def cloze(self, mask: str) -> str:
        """Return the text in which a masked model fills in the answer at `mask`."""
        return self._cloze.replace(MASK, mask)

    @property
    def texts(self) -> str:
        """Everything that a run can use of this example, as JSON text."""
        answer = self.answer if self.task.loss == "teacher_forcing" else None
        return _to_json([self.prompt, self.candidates, self.gold, self.inputs, answer, self._cloze])

    def check(self) -> None:
        """Render all texts, and check the type and the range of every value that the task returns.

        Raises:
            TaskError: the row has no JSON form, or a function of the task raises, returns an invalid value,
                or changes the row.
        """
        task = self.task
        if (problem := values.row_problem(self.row, _to_json)) is not None:
            raise TaskError(f"{_of(task, 'the row')} {problem}")
        before = dict(self.row)
        rendered = {name: self._rendered(name) for name in ("prompt", "candidates", "gold", "inputs")}
        # Writing all properties at once is several times faster than reading each of them.
        self.__dict__.update(rendered)
        self.__dict__["_cloze"] = rendered["cloze"] = self._rendered("cloze", MASK)
        for name, check in values.CHECKS.items():
            if (problem := check(task, rendered)) is not None:
                raise TaskError(f"{_of(task, name)} {problem}")
        if task.loss == "teacher_forcing":
            self.__dict__["answer"] = rendered["answer"] = self._rendered("answer")
            if (problem := values.answer_problem(rendered["answer"])) is not None:
                raise TaskError(f"{_of(task, 'answer')} {problem}")
        if (wrong := values.encoding_problem(rendered)) is not None:
            raise TaskError(f"{_of(task, wrong[0])} {wrong[1]}")
        if self.row != before:
            raise TaskError(f"{_of(task, 'a function')} changes the row: let it return new values instead")

    def check_again(self) -> None:
        """Render all texts again, to find values that are not functions of the row.

        Raises:
            TaskError: the task returns other values for the same row, so that no result could be reproduced.
        """
        again = Example(self.task, self.row)
        again.check()
        for name, value in again.__dict__.items():
            if name not in ("task", "row") and value != getattr(self, name):
                raise TaskError(
                    f"{_of(self.task, name.removeprefix('_'))} returned two different values for one row: "
                    "let it depend on the row alone"
                )

    def _rendered(self, name: str, *mask: str) -> Any:
        """Return the value of a function of the task, or of its default."""
        function = getattr(self.task, name)
        if function is None:
            return self._cloze if name == "cloze" else self.answer
        try:
            return function(self.row, *mask)
        except Exception as error:
            raise TaskError(f"{_of(self.task, name, error)} raised {first_line(error)}") from error


def checked_examples(
    task: Task, name: str, convert: Callable[[Row], Iterable[Row]], raw: Any
) -> list[Example]:
    """Return the checked examples of a raw row from a file or from the hub.

    Args:
        task: the task.
        name: "from_file" or "from_hub".
        convert: this function of the task.
        raw: the raw row.

    Raises:
        ValueError: the row is malformed (the message is the one of `convert`), or, as a `TaskError`, the task
            returns an invalid value.
    """
    if not _is_mapping(raw):
        raise ValueError(f"expected an object, not {type(raw).__name__}")
    try:
        rows = convert(raw)
        are_rows = hasattr(type(rows), "__iter__") and not isinstance(rows, (Mapping, str, bytes))
        if are_rows:
            # Each row is copied, because a generator may yield one dictionary again and again.
            rows = [dict(row) if _is_mapping(row) else row for row in rows]
    except ValueError as error:
        raise ValueError(next(iter(str(error).splitlines()), "") or f"{name} rejects this row") from error
    except Exception as error:
        raise TaskError(f"{_of(task, name, error)} raised {first_line(error)}") from error
    if not are_rows:
        raise TaskError(
            f"{_of(task, name)} must return a list of rows, not {values.shown(rows)}; write [row]"
        )
    return [checked_example(task, name, row) for row in rows]


def checked_file_examples(task: Task, raw: Any) -> list[Example]:
    """Return the checked examples of a raw row from a file, in the distributed form or in the hub's form.

    Raises:
        ValueError: the row fits neither form; the message is about the form that it fits better.
    """
    try:
        return checked_examples(task, "from_file", task.from_file, raw)
    except TaskError:
        raise
    except ValueError as error:
        if task.from_hub is None or task.from_hub is task.from_file:
            raise
        problem = error
    try:
        return checked_examples(task, "from_hub", task.from_hub, raw)
    except ValueError as error:
        raise max(problem, error, key=partial(_fit, raw)) from None


def _fit(raw: Any, error: ValueError) -> int:
    """Return how well a row fits the form that an error is about."""
    cause = error.__cause__
    if isinstance(error, TaskError):
        # A function that fails on a row was not written for this form; a later check is about a fitting row.
        return _fields.VALUE if cause is None else -1
    if not isinstance(cause, _fields.FieldError):
        return _fields.VALUE
    # A field that an inner object lacks follows a field that the row has.
    return _fields.VALUE if cause.fit == _fields.MISSING and cause.inside is not raw else cause.fit


def checked_example(task: Task, name: str, row: Any) -> Example:
    """Return the checked example of a canonical row that the function `name` of a task has returned.

    Raises:
        TaskError: the row is not a mapping, or the task cannot use it.
    """
    if not _is_mapping(row):
        raise TaskError(f"{_of(task, name)} must return rows that are dictionaries, not {values.shown(row)}")
    example = Example(task, row)
    example.check()
    return example


def generated_row(task: Task, rng: Any) -> Row:
    """Return a row from the task's generator.

    Raises:
        TaskError: the generator raises, or returns something other than a row.
    """
    try:
        row = task.generate(rng)
    except Exception as error:
        raise TaskError(f"{_of(task, 'generate', error)} raised {first_line(error)}") from error
    if not _is_mapping(row):
        raise TaskError(f"{_of(task, 'generate')} must return one row, a dictionary, not {values.shown(row)}")
    problem = values.row_problem(row, _to_json)
    if problem is not None:
        raise TaskError(f"{_of(task, 'generate')} returned a row that {problem}")
    return row


def _is_mapping(value: Any) -> bool:
    # The check of the abstract class alone is slow, and nearly every row is a plain dictionary.
    return type(value) is dict or isinstance(value, Mapping)


def _of(task: Task, name: str, error: BaseException | None = None) -> str:
    """Return the subject of an error: a field, its task, and the task's file (with the line of an error)."""
    if not task.name:
        return f"{name} of task {task.title}"
    file = registry.path("task", task.name)
    return f"{name} of task {task.name} ({file if error is None else registry.location(error, file)})"
