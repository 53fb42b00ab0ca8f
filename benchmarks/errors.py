"""The error that a user sees as a single line, and the name that was probably meant."""

import difflib
from collections.abc import Iterable

# Longer lists of names are cut to the nearest ones.
MANY, NEAREST = 24, 5


class UserError(ValueError):
    """Something the user gave is wrong; the message says what, where, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest right one.

    Args:
        kind: what was looked for, in the singular ("task").
        name: what the user wrote.
        known: every right name.

    >>> str(unknown("task", "sst-2", ["rte", "sst2"]))
    "unknown task 'sst-2': did you mean 'sst2'? (known: rte, sst2)"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=NEAREST, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = f"known: {', '.join(known)}"
    if near and len(known) > MANY:
        shown = f"nearest of {len(known)}: {', '.join(near)}"
    return UserError(f"unknown {kind} {name!r}: {hint}({shown})")


def describe_os_error(error: OSError) -> str:
    """Return one line on a file or folder that could not be read or written."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
