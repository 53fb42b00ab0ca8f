"""Examples: rows of a task and the texts rendered from them, each at most once."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.tasks import Gold, Row, Task

# Placeholder for the mask token until the tokenizer is known: a private-use character that no text contains.
MASK = "\ue000"


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

    def check(self) -> None:
        """Render the texts that every run needs, and check the correct answer.

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
                    "the correct answer must be the index of a candidate, from 0 to "
                    f"{len(self.candidates) - 1}, not {index!r}"
                )


def checked_examples(task: Task, convert: Callable[[Row], Iterable[Row]], raw: Row) -> list[Example]:
    """Return the checked examples of a raw row from a file or from the hub.

    Raises:
        ValueError: the task cannot use the row.
    """
    try:
        examples = [Example(task, row) for row in convert(raw)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the task cannot use this row ({type(error).__name__}: {error})") from error
    for example in examples:
        example.check()
    return examples
