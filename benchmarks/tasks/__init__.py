"""Tasks: one file a task, each binding one `TASK`.

A row is one scored example in one canonical form, whatever its source (hub, folder, generator). A task
of a user's own JSON lines needs neither a hub copy nor a generator.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Literal

from benchmarks import registry
from benchmarks.errors import UserError

Row = Mapping[str, Any]
Gold = int | list[int] | list[str]


@dataclass(frozen=True)
class Hub:
    """Where the public copy lives: Hugging Face dataset, its configuration and split names."""

    dataset: str
    config: str | None
    train: str = "train"
    validation: str = "validation"


@dataclass(frozen=True)
class Task:
    """All that the harness knows of a task.

    Attributes:
        title: the name printed in tables ("SST-2").
        version: raised whenever a prompt, a candidate or the canonical form changes.
        prompt: row -> the text before the answer.
        cloze: row, mask -> the text with the mask where a masked model fills in the answer; None: the
            prompt, a blank and the mask.
        candidates: row -> texts appended to the prompt, leading blank included; [] for generation.
        gold: row -> index of the right candidate, indices of the right ones, or answer strings.
        inputs: row -> one or two plain texts for a prompt-free classification head.
        answer: row -> the text that teacher forcing trains on (None: the gold candidate).
        from_file: one raw row of a folder -> canonical rows; `ValueError` on a malformed one.
        hub, from_hub: the public copy and its raw row -> canonical rows; None where there is none.
        generate: random source -> one built-in canonical row; None where rows are not built in.
        metric: "accuracy"; or, of a generated answer, "f1" (token F1, best over the gold answers) or
            "exact_match" (of the number after "####", see `benchmarks.evaluation.metrics`).
        loss: "classification": cross-entropy over the candidates' mean token log-likelihoods;
            "teacher_forcing": mean cross-entropy of the right answer's tokens.
        max_new_tokens: the most that are generated; generation ends before it with a newline.
        rows_of: the task whose rows these are, from every source, where only the prompt differs from it.
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
    metric: Literal["accuracy", "f1", "exact_match"] = "accuracy"
    loss: Literal["classification", "teacher_forcing"] = "classification"
    answer: Callable[[Row], str] | None = None
    max_new_tokens: int = 50
    cloze: Callable[[Row, str], str] | None = None
    rows_of: str | None = None

    @property
    def generative(self) -> bool:
        """Whether the answer is generated rather than chosen among candidates."""
        return self.metric != "accuracy"


@cache
def load(name: str) -> Task:
    """The task a file of that name defines; `UserError` with the nearest name if none does."""
    task = registry.module("task", name).TASK
    if not isinstance(task, Task):
        raise UserError(f"{registry.path('task', name)}: TASK is a {type(task).__name__}, not a Task")
    if (task.hub is None) != (task.from_hub is None):
        raise UserError(f"{registry.path('task', name)}: hub and from_hub go together: give both or neither")
    return task
