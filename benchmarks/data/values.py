"""Checks of the values that a task's functions return for one row.

Each check returns what is wrong and how to correct it, or None. The messages continue a sentence whose
subject is the function: "gold of task mood (benchmarks/tasks/mood.py) must return ...".
"""

import reprlib
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from benchmarks.tasks import Row, Task
from benchmarks.tasks._numbers import FINAL, final_number

# Placeholder for the mask token until the tokenizer is known: private-use characters, which have no case and
# which no text contains in this order.
MASK = "\ue000\ue001\ue000"
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 40
_repr.maxlong = 20


class TaskError(ValueError):
    """A function of a task raises or returns an invalid value. The message names both."""


def shown(value: Any) -> str:
    """Return a short description of a value on one line.

    >>> shown("Paris"), shown(None), shown([1, 2])
    ("the str 'Paris'", 'None', 'the list [1, 2]')
    """
    if value is None:
        return "None"
    try:
        text = " ".join(_repr.repr(value).split())
    # The value belongs to the user, and so does its `__repr__`.
    except Exception:
        return f"a {type(value).__name__}"
    return f"the {type(value).__name__} {text}"


def _is_plain(value: Any) -> bool:
    """Return whether a value certainly has a JSON form. This is much faster than computing it."""
    if type(value) is str:
        return value.isascii() or _is_unicode(value)
    return type(value) is int or type(value) is bool or value is None


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def row_problem(row: Row, to_json: Callable[[Any], str]) -> str | None:
    """Check that a canonical row has a JSON form, which identifies it."""
    if all(type(name) is str and _is_plain(value) for name, value in row.items()):
        return None
    try:
        to_json(row).encode()
        return None
    except (TypeError, ValueError, RecursionError):
        pass
    for key, value in row.items():
        if not isinstance(key, str):
            return f"must have names that are texts, not {shown(key)}"
        try:
            to_json({key: value}).encode()
        except UnicodeEncodeError as error:
            surrogate = error.object[error.start]
            return f"has a lone surrogate ({surrogate!a}, half a character) in field {key!a}: remove it"
        except (TypeError, ValueError, RecursionError):
            return (
                f"has a value without a JSON form in field {key!r} ({shown(value)}): "
                "use texts, finite numbers, booleans, None, lists, and dictionaries with text keys"
            )
    return "has no JSON form"


def _prompt(task: Task, values: Mapping[str, Any]) -> str | None:
    value = values["prompt"]
    return None if isinstance(value, str) else f"must return a text, not {shown(value)}"


def _candidates(task: Task, values: Mapping[str, Any]) -> str | None:
    value = values["candidates"]
    if type(value) is not list:
        return f"must return a list of texts, not {shown(value)}"
    if task.generative:
        return f"must return [] with metric={task.metric!r}, not {shown(value)}" if value else None
    least = 2 if task.loss == "classification" else 1
    if len(value) < least:
        return f"must return at least {least} texts with loss={task.loss!r}, not {shown(value)}"
    seen = set()
    for text in value:
        if not isinstance(text, str):
            return f"must return a list of texts, not of {shown(text)}; write str(...)"
        plain = text.strip()
        if not plain:
            return f"must return texts that are not blank, not {shown(value)}"
        if plain in seen:
            return f"must return different texts, but {plain!r:.40} is there twice (spaces do not count)"
        seen.add(plain)
    return None


def _gold(task: Task, values: Mapping[str, Any]) -> str | None:
    value = values["gold"]
    if task.generative:
        return _answers(task, value)
    if type(value) is list and task.loss == "classification":
        return (
            f"must return one index with loss='classification', not {shown(value)}; "
            "for several correct candidates, set loss='teacher_forcing'"
        )
    indices, last = value if type(value) is list else [value], len(values["candidates"]) - 1
    if not indices:
        return "must return at least one index, not []: leave out rows without a correct answer"
    for index in indices:
        if type(index) is not int:
            hint = "" if index is None or isinstance(index, (str, list, tuple)) else "; write int(...)"
            return f"must return the index of a candidate as an int, not {shown(index)}{hint}"
        if not 0 <= index <= last:
            return f"must return the index of a candidate, from 0 to {last}, not {_repr.repr(index)}"
    if len(set(indices)) < len(indices):
        return f"must return different indices, not {shown(value)}"
    return None


def _answers(task: Task, value: Any) -> str | None:
    if type(value) is not list:
        hint = "; write [answer]" if isinstance(value, str) else ""
        return f"must return a list of answer texts with metric={task.metric!r}, not {shown(value)}{hint}"
    if not value:
        return "must return at least one answer text, not []: leave out rows without a correct answer"
    for text in value:
        if not isinstance(text, str):
            return f"must return a list of answer texts, not of {shown(text)}; write str(...)"
        if not text.strip():
            return f"must return answer texts that are not blank, not {shown(value)}"
        if task.metric == "exact_match" and final_number(FINAL + text) != text:
            number = final_number(FINAL + text)
            hint = "" if number is None else f"; write {number!r}"
            return f"must return plain numbers with metric='exact_match', not {shown(text)}{hint}"
    return None


def _inputs(task: Task, values: Mapping[str, Any]) -> str | None:
    value = values["inputs"]
    if type(value) is not tuple:
        hint = "; write (text,)" if isinstance(value, str) else "; write tuple(...)" * (type(value) is list)
        return f"must return a tuple of one or two texts, not {shown(value)}{hint}"
    if len(value) not in (1, 2):
        return f"must return one or two texts, not {len(value)}; join them"
    for text in value:
        if not isinstance(text, str):
            return f"must return a tuple of texts, not of {shown(text)}; write str(...)"
    return None if any(map(str.strip, value)) else f"must return a text that is not blank, not {shown(value)}"


def _cloze(task: Task, values: Mapping[str, Any]) -> str | None:
    value = values["cloze"]
    if not isinstance(value, str):
        return f"must return a text, not {shown(value)}"
    count = value.count(MASK)
    if count == 1:
        return None
    return f"must contain the mask that it is given exactly once, not {count or 'no'} times"


# In the order in which a mistake is reported.
CHECKS = {"prompt": _prompt, "candidates": _candidates, "gold": _gold, "inputs": _inputs, "cloze": _cloze}


def answer_problem(value: Any) -> str | None:
    """Check the text that teacher forcing trains on."""
    if not isinstance(value, str):
        return f"must return a text, not {shown(value)}"
    return None if value.strip() else f"must return a text that is not blank, not {shown(value)}"


def encoding_problem(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Check that all texts are valid Unicode; return the name of the field and the problem."""
    fields = {name: (v,) if isinstance(v, str) else v for name, v in values.items() if name != "gold"}
    gold = values["gold"]
    # Generated answers are texts, too.
    fields["gold"] = gold if type(gold) is list and isinstance(gold[0], str) else ()
    whole = "".join(chain(*fields.values()))
    if whole.isascii() or _is_unicode(whole):
        return None
    name, text = next((n, text) for n, texts in fields.items() for text in texts if not _is_unicode(text))
    surrogate = next(c for c in text if not _is_unicode(c))
    return name, f"returned a lone surrogate ({surrogate!a}, half a character): remove it"
