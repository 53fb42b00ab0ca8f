"""Examples: rows of a task with the texts that the task renders from them, each rendered once."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.tasks import Gold, Row, Task

# Stands for the mask token until a tokenizer is known; a private-use character, which no text contains.
MASK = "\ue000"


@dataclass(frozen=True)
class Example:
    """One canonical row of a task. Equal rows are equal examples.

    Attributes:
        task: renders the texts.
        row: the canonical row.
    """

    task: Task = field(repr=False, compare=False)
    row: Row

    @cached_property
    def key(self) -> str:
        """The row as text: equal rows have equal keys."""
        return json.dumps(self.row, sort_keys=True, ensure_ascii=False)

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
        """Index of the correct candidate, indices of the correct ones, or answer strings."""
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

    def check(self) -> None:
        """Render what every run needs.

        Raises:
            ValueError: the task cannot use the row, or the row has no correct answer.
        """
        try:
            _ = self.prompt, self.candidates, self.gold, self._cloze
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"the task cannot use this row ({type(error).__name__}: {error})") from error
        correct = [self.gold] if isinstance(self.gold, int) else self.gold
        if not correct:
            raise ValueError("row has no correct answer")
        for index in [] if self.task.generative else correct:
            if type(index) is not int or not 0 <= index < len(self.candidates):
                raise ValueError(
                    f"the correct answer must be the index of one of the {len(self.candidates)} candidates, "
                    f"from 0, not {index!r}"
                )


def checked_examples(task: Task, convert: Callable[[Row], Iterable[Row]], raw: Row) -> list[Example]:
    """Return the examples of a raw row of a file or of the hub.

    Raises:
        ValueError: the task cannot use it.
    """
    try:
        examples = [Example(task, row) for row in convert(raw)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the task cannot use this row ({type(error).__name__}: {error})") from error
    for example in examples:
        example.check()
    return examples
