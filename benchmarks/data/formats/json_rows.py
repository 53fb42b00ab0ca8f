"""Rows of JSON lines, of a JSON array, and of a JSON document such as SQuAD's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.data.formats import squad
from benchmarks.data.formats.text import column_of_bad_byte, opened
from benchmarks.errors import UserError

# The field of a document that holds its rows.
ROWS = "data"
_SPACE = " \t\n\r"


class _Twice(ValueError):
    """An object has two fields of the same name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise _Twice(f"field {twice!r} is there twice: remove one of them")
    return fields


_decoder = json.JSONDecoder(object_pairs_hook=_object)


def lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the value of each line that is not blank.

    Raises:
        UserError: the file cannot be read, or a line is not JSON.
    """
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                place = f"line {number}"
                try:
                    value = parsed(line)
                except ValueError as error:
                    raise UserError(f"{path}, {place}: {error}") from error
                yield place, value


def document(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a JSON file.

    The file is an array of rows, an object whose field "data" is an array of rows or of SQuAD's articles, or
    JSON lines, which `datasets` writes to files of this name, too.

    Raises:
        UserError: the file cannot be read, or is not JSON.
    """
    with opened(path) as file:
        text = file.read()
    scanner = _Scanner(path, text)
    start = scanner.skip(0)
    if start == len(text):
        return
    if text[start] == "[":
        elements = scanner.elements(start)
    elif text[start] != "{":
        scanner.fail(start, "a JSON file must be an array of objects, or have one object per line")
    elif _begins_lines(text, start):
        del text, scanner
        yield from lines(path)
        return
    else:
        elements = scanner.elements(scanner.rows_of_object(start), in_object=True)
    for place, value in elements:
        if isinstance(value, dict) and "paragraphs" in value:
            yield from squad.questions(path, place, value)
        else:
            yield place, value


def parsed(text: str) -> Any:
    """Return the value of a text of JSON.

    Raises:
        ValueError: the text is not UTF-8 or not JSON, an object has a name twice, or a number is too long.
    """
    if (column := column_of_bad_byte(text)) is not None:
        raise ValueError(f"not UTF-8 (column {column}): save the file as UTF-8")
    try:
        return _decoder.decode(text.strip())
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg}, column {error.colno})") from error
    except _Twice:
        raise
    except RecursionError as error:
        raise ValueError("the row is nested too deeply") from error
    except ValueError as error:
        # Python limits the number of digits that it converts.
        raise ValueError("a number has too many digits; write it as a text") from error


def _begins_lines(text: str, start: int) -> bool:
    """Return whether the line at `start` is a whole object, and not a document in one line."""
    end = text.find("\n", start)
    # A broken first line of several is an error of that line. A row may have a field of the name `ROWS`.
    if end >= 0 and text[end:].lstrip().startswith("{"):
        return True
    try:
        value = parsed(text[start : end if end >= 0 else len(text)])
    except ValueError:
        return False
    return not isinstance(value.get(ROWS), list)


class _Scanner:
    """Reads the elements of an array in a JSON text one by one, and counts lines."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        self._line, self._counted = 1, 0

    def skip(self, at: int) -> int:
        """Return the index of the first character from `at` on that is not white space."""
        while at < len(self.text) and self.text[at] in _SPACE:
            at += 1
        return at

    def line(self, at: int) -> int:
        """Return the number of the line of an index that is not before the last one."""
        self._line += self.text.count("\n", self._counted, at)
        self._counted = max(at, self._counted)
        return self._line

    def fail(self, at: int, problem: str) -> NoReturn:
        raise UserError(f"{self.path}, line {self.line(at)}: {problem}")

    def value(self, at: int) -> tuple[Any, int]:
        """Return the value that starts at an index, and the index after it."""
        try:
            return _decoder.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            self.fail(error.pos, f"not JSON ({error.msg}, column {error.colno})")
        except _Twice as error:
            self.fail(at, str(error))
        except RecursionError:
            self.fail(at, "the row is nested too deeply")
        except ValueError:
            self.fail(at, "a number has too many digits; write it as a text")

    def elements(self, at: int, *, in_object: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield the elements of the array at an index, each with the line on which it starts.

        Args:
            at: the index.
            in_object: whether the array is the value of a field of an object.

        Raises:
            UserError: the text is not JSON, or does not end after the array or its object.
        """
        at = self.skip(at + 1)
        while self.text[at : at + 1] != "]":
            value, end = self.value(at)
            line = self.line(at)
            if not self.text.isascii() and (found := column_of_bad_byte(self.text[at:end])) is not None:
                self.fail(at + found - 1, "not UTF-8: save the file as UTF-8")
            yield f"line {line}", value
            at = self.skip(end)
            if self.text[at : at + 1] == ",":
                at = self.skip(at + 1)
            elif self.text[at : at + 1] != "]":
                self.fail(
                    at, "not JSON (expected a comma or the end of the array): the file may be incomplete"
                )
        at = self.skip(at + 1)
        if in_object:
            at = self._end_of_object(at)
        if at < len(self.text):
            self.fail(at, "text follows the array of rows: write one array, or one object per line")

    def _end_of_object(self, at: int) -> int:
        """Return the index after an object whose field `ROWS` ends before an index."""
        while self.text[at : at + 1] == ",":
            at = self.skip(at + 1)
            start = at
            name, at = self._name(at)
            if name == ROWS:
                self.fail(start, f"field {ROWS!r} is there twice: remove one of them")
            _, at = self.value(at)
            at = self.skip(at)
        if self.text[at : at + 1] != "}":
            self.fail(at, "not JSON (expected a comma or the end of the object): the file may be incomplete")
        return self.skip(at + 1)

    def _name(self, at: int) -> tuple[Any, int]:
        """Return the name of the field at an index, and the index of its value."""
        if self.text[at : at + 1] != '"':
            self.fail(at, "not JSON (expected a name in quotes)")
        name, at = self.value(at)
        at = self.skip(at)
        if self.text[at : at + 1] != ":":
            self.fail(at, "not JSON (expected a colon after a name)")
        return name, self.skip(at + 1)

    def rows_of_object(self, at: int) -> int:
        """Return the index of the array in the field "data" of the object at an index."""
        start, names = at, []
        at = self.skip(at + 1)
        while self.text[at : at + 1] == '"':
            name, at = self._name(at)
            if name == ROWS and self.text[at : at + 1] == "[":
                return at
            names.append(name)
            _, at = self.value(at)
            at = self.skip(at)
            if self.text[at : at + 1] == ",":
                at = self.skip(at + 1)
        if self.text[at : at + 1] != "}":
            self.fail(at, "not JSON (expected a name in quotes, a comma, or the end of the object)")
        self.fail(
            start,
            f"field {ROWS!r} with the array of rows is missing (fields: {', '.join(names) or 'none'}): write "
            "an array of rows, or one object per line",
        )
