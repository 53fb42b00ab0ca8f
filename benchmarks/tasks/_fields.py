"""Readers for the fields of a raw row, with errors that name the missing or invalid field."""

import difflib
from collections.abc import Mapping
from typing import Any


def get(raw: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return field `key` of a raw row; raise `ValueError` if it is missing or not a `kind`."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"expected an object, not {type(raw).__name__}")
    if key not in raw:
        raise ValueError(f"field {key!r} is missing (fields: {', '.join(map(str, raw)) or 'none'})")
    value = raw[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"field {key!r} must be {kind.__name__}, not {value!r:.40}")
    return value


def text(raw: Mapping[str, Any], key: str) -> str:
    """Return a text field without surrounding whitespace; raise `ValueError` if it is empty."""
    value = get(raw, key, str).strip()
    if not value:
        raise ValueError(f"field {key!r} is empty")
    return value


def index(raw: Mapping[str, Any], classes: int, key: str = "label") -> int:
    """Return an integer label from 0 to `classes` - 1; raise `ValueError` otherwise.

    The hub uses -1 for rows without a public label.
    """
    value = get(raw, key, int)
    if not 0 <= value < classes:
        raise ValueError(f"field {key!r} must be 0 to {classes - 1}, not {value}")
    return value


def named(raw: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """Return the index of the label in `names`; raise `ValueError` if it is not one of them."""
    value = get(raw, "label", str)
    if value not in names:
        near = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"field 'label' must be one of {', '.join(names)}, not {value!r:.40}{hint}")
    return names.index(value)


def boolean(raw: Mapping[str, Any]) -> int:
    """Return a true or false label as 1 or 0."""
    return int(get(raw, "label", bool))
