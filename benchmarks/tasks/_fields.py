"""Readers for the fields of a raw row, with errors that name the missing or invalid field."""

import ast
import difflib
import re
from collections.abc import Mapping
from typing import Any

# How far an error is from a row that fits: the higher, the closer.
MISSING, TYPE, VALUE = range(3)


class FieldError(ValueError):
    """A field of a row is missing or invalid.

    Attributes:
        fit: `MISSING`, `TYPE`, or `VALUE`. If a row fits neither of two forms, the error of the form that it
            fits better is the one to report.
        inside: the object that lacks the field, if it is `MISSING`.
    """

    def __init__(self, message: str, fit: int, inside: Any = None) -> None:
        super().__init__(message)
        self.fit, self.inside = fit, inside


class Texts(dict[str, str]):
    """A raw row of a format without types (CSV): every value is a text, which `get` converts."""


def get(raw: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return field `key` of a raw row; raise `FieldError` if it is missing or not a `kind`.

    The field of a row without types is converted to a whole number, a boolean, a list, or a dictionary.
    """
    if not isinstance(raw, Mapping):
        raise FieldError(f"expected an object, not {type(raw).__name__}", TYPE)
    if key not in raw:
        names = ", ".join(map(str, raw)) or "none"
        raise FieldError(f"field {key!r} is missing (fields: {names})", MISSING, raw)
    value = raw[key]
    if type(raw) is Texts and kind is not str:
        value = _converted(value, kind)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FieldError(f"field {key!r} must be {kind.__name__}, not {value!r:.40}", TYPE)
    return value


def _converted(text: str, kind: type) -> Any:
    """Return the value of a text that was written as a number, a boolean, a list, or a dictionary.

    >>> _converted(" 3", int), _converted("False", bool), _converted("['a' 'b']", list)
    (3, False, ['a', 'b'])
    """
    plain = text.strip()
    if kind is int:
        return int(plain) if re.fullmatch(r"[-+]?\d{1,18}", plain) else text
    if kind is bool:
        return {"true": True, "false": False}.get(plain.lower(), text)
    return _structure(plain) if kind in (list, dict) else text


_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<word>[\w.+-]+)|(?P<mark>[\[\](){}:,])""", re.S
)


def _structure(text: str) -> Any:
    """Return a list or a dictionary that was written as JSON, by Python, or by numpy; else the text.

    `datasets` writes lists to CSV as numpy does: ['a' 'b'] and {'text': array(['a'], dtype=object)}.
    """
    out: list[str] = []
    in_type = False
    for token in _TOKEN.finditer(text):
        word, mark = token["word"], token["mark"]
        # An array of numpy, array([...], dtype=object), is its list.
        if word == "dtype":
            in_type = True
            if out[-1:] == [","]:
                out.pop()
        if in_type or word == "array" or mark in ("(", ")"):
            in_type = in_type and mark != ")"
            continue
        # numpy separates elements by spaces alone.
        if mark not in ("]", "}", ",", ":") and out and out[-1] not in ("[", "{", ",", ":"):
            out.append(",")
        out.append({"true": "True", "false": "False", "null": "None"}.get(word, token[0]))
    try:
        return ast.literal_eval("".join(out))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def text(raw: Mapping[str, Any], key: str) -> str:
    """Return a text field without surrounding whitespace; raise `FieldError` if it is empty."""
    value = get(raw, key, str).strip()
    if not value:
        raise FieldError(f"field {key!r} is empty", VALUE)
    return value


def index(raw: Mapping[str, Any], classes: int, key: str = "label") -> int:
    """Return an integer label from 0 to `classes` - 1; raise `FieldError` otherwise.

    The hub uses -1 for rows without a public label.
    """
    value = get(raw, key, int)
    if not 0 <= value < classes:
        raise FieldError(f"field {key!r} must be 0 to {classes - 1}, not {value}", VALUE)
    return value


def named(raw: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """Return the index of the label in `names`; raise `FieldError` if it is not one of them."""
    value = get(raw, "label", str)
    if value not in names:
        near = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
        hint = f": did you mean {near[0]!r}?" if near else ""
        # A text that is a number is a label of the other form.
        fit = TYPE if re.fullmatch(r"\s*[-+]?\d+\s*", value) else VALUE
        raise FieldError(f"field 'label' must be one of {', '.join(names)}, not {value!r:.40}{hint}", fit)
    return names.index(value)


def boolean(raw: Mapping[str, Any]) -> int:
    """Return a true or false label as 1 or 0."""
    return int(get(raw, "label", bool))
