"""Columns of a data file: what their values are, and which of them are the texts and the answer."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.data.formats import Placed
from benchmarks.errors import UserError, unknown
from benchmarks.tasks._described import label_text
from benchmarks.tasks._numbers import FINAL, final_number

# A column whose name is no usual one is a label if it has at most this many values, each in REPEATED rows on
# average. A column of a usual name may have more.
MOST_CLASSES, REPEATED, MOST_NAMED = 20, 2, 200
# A whole value that is a number, and not a date, a time, or a fraction.
_NUMBER = re.compile(r"[-+]?\$?(\d[\d,]*(\.\d+)?|\.\d+)")
# A text has at least this many words on average.
TEXT_WORDS = 3

LABELS = (
    "label", "labels", "class", "category", "sentiment", "target", "gold", "rating", "stars", "polarity",
    "intent", "topic", "emotion", "is_duplicate", "is_correct",
)  # fmt: skip
# Columns that make up a prompt together, in the order of the prompt.
GROUPS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("context", "question"),
    ("passage", "question"),
    ("question", "sentence"),
    ("paragraph", "question"),
    ("instruction", "input"),
)
# Columns that are the whole prompt, even if there are other texts.
WHOLE = (
    "text", "sentence", "review", "content", "comment", "tweet", "message", "body", "document", "article",
    "prompt", "utterance",
)  # fmt: skip
# Columns that are the whole prompt if there is no other text.
ALONE = ("question", "instruction", "problem", "query", "input", "headline", "abstract", "title")
# Columns with generated answers; any of them can be a label, too.
OUTPUTS = (
    "answer", "answers", "completion", "output", "response", "solution", "summary", "highlights", "target",
)  # fmt: skip


@dataclass
class Column:
    """What is known about the values of a column.

    Attributes:
        name: its name in the file.
        values: distinct values as texts, with their numbers of rows; None if there are too many.
        rows: number of rows with a value that is not blank.
        words, longest: number of words of all values, and of the longest.
        plain: whether all values are texts, numbers, or booleans.
        numbers: whether every value is a number, or ends in one after "####".
    """

    name: str
    values: dict[str, int] | None = field(default_factory=dict)
    rows: int = 0
    words: int = 0
    longest: int = 0
    plain: bool = True
    numbers: bool = True

    def add(self, value: Any) -> None:
        """Count one more value."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return
        self.rows += 1
        if not isinstance(value, (str, int, float)):
            self.plain, self.values = False, None
            self.numbers = False
            return
        text = label_text(value)
        words = len(text.split())
        self.words += words
        self.longest = max(self.longest, words)
        self.numbers = self.numbers and (
            final_number(text) is not None if FINAL in text else _NUMBER.fullmatch(text) is not None
        )
        if self.values is not None:
            self.values[text] = self.values.get(text, 0) + 1
            if len(self.values) > MOST_NAMED:
                self.values = None

    @property
    def has_classes(self) -> bool:
        """Whether the values can be classes, whatever the column's name: few, and each in several rows."""
        return (
            self.values is not None
            and 1 < len(self.values) <= MOST_CLASSES
            and self.rows >= REPEATED * len(self.values)
        )

    @property
    def is_label(self) -> bool:
        """Whether the values can be classes if the column's name says that they are."""
        return self.has_classes or (
            self.values is not None and len(self.values) > 1 and self.words < TEXT_WORDS * self.rows
        )

    @property
    def is_text(self) -> bool:
        """Whether the values are texts of several words."""
        return self.plain and not self.has_classes and self.words >= TEXT_WORDS * max(1, self.rows)


def columns_of(rows: Iterable[Placed], where: str) -> dict[str, Column]:
    """Return the columns of raw rows by name, in the order in which they occur.

    Raises:
        UserError: there is no row, or a row is no object.
    """
    found: dict[str, Column] = {}
    for place, row in rows:
        if not isinstance(row, dict):
            raise UserError(f"{where}, {place}: expected an object, not {type(row).__name__}")
        for name, value in row.items():
            column = found.get(name)
            if column is None:
                column = found[name] = Column(name)
            column.add(value)
    if not found:
        raise UserError(f"{where} has no rows")
    return found


def choose(
    found: dict[str, Column], where: str, label: str | None, texts: Sequence[str]
) -> tuple[list[str], str, bool]:
    """Return the columns of the texts in the order of the prompt, the column of the answer, and its kind.

    Args:
        found: all columns.
        where: the file, for the messages.
        label, texts: columns that the user chose.

    Returns:
        The texts, the answer, and whether the values of the answer are classes.

    Raises:
        UserError: a chosen column does not exist, the columns are ambiguous, or no template can name one.
    """
    for name in (*texts, *([label] if label else [])):
        if name not in found:
            raise UserError(f"{where}: {unknown('column', name, found)}")
    if label in texts:
        raise UserError(f"{where}: column {label!r} cannot be a text and the label at once")
    answer = label or _label(found, where, texts)
    used = list(texts) or _texts(found, where, answer)
    for name in (*used, answer):
        if set("{}") & set(name):
            raise UserError(f"{where}: column {name!r} has a brace in its name: rename it")
    column = found[answer]
    if answer.lower().strip() in LABELS:
        return used, answer, column.is_label
    # A column that the user named may have many classes, but answers that never repeat are no classes.
    repeated = column.values is not None and column.rows >= REPEATED * len(column.values)
    return used, answer, column.has_classes or (label is not None and column.is_label and repeated)


def _named(found: Iterable[str], names: Sequence[str]) -> list[str]:
    by_name = {name.lower().strip(): name for name in found}
    return [by_name[name] for name in names if name in by_name]


def _label(found: dict[str, Column], where: str, texts: Sequence[str]) -> str:
    free = [name for name in found if name not in texts]
    named = [name for name in _named(free, LABELS) if found[name].is_label]
    if named and (len(named) == 1 or named[0].lower() in ("label", "labels")):
        return named[0]
    outputs = _named(free, OUTPUTS)
    if not named and len(outputs) == 1:
        return outputs[0]
    classes = named or [name for name in free if found[name].has_classes]
    if len(classes) == 1 and not outputs:
        return classes[0]
    raise _ambiguous(found, where, classes or outputs, "label")


def _texts(found: dict[str, Column], where: str, label: str) -> list[str]:
    others = {
        name: column for name, column in found.items() if name != label and column.rows and column.plain
    }
    for group in GROUPS:
        if len(named := _named(others, group)) == len(group):
            return named
    long = [name for name, column in others.items() if column.is_text]
    whole, alone = _named(others, WHOLE), _named(others, ALONE)
    could = (
        whole
        or (alone if set(long) <= set(alone) else sorted({*alone, *long}, key=list(found).index))
        or long
    )
    if len(could) == 1:
        return could
    raise _ambiguous(found, where, could, "text")


def _ambiguous(found: dict[str, Column], where: str, could: Sequence[str], what: str) -> UserError:
    which = (
        f"{' and '.join(map(repr, could))} could be the {what}" if could else f"no column looks like a {what}"
    )
    return UserError(f"{where}: {which} (columns: {', '.join(found)}): name it with --{what} NAME")
