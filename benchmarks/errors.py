"""User-facing errors, and suggestions for misspelled names."""

import difflib
from collections.abc import Iterable

# If there are more than MANY known names, an error lists only the NEAREST closest ones.
MANY, NEAREST = 24, 5


class UserError(ValueError):
    """A mistake in the user's input. The message states what is wrong, where, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for an unknown name, with the closest known name as a suggestion.

    Args:
        kind: the kind of name, in the singular ("task").
        name: the name that the user gave.
        known: all valid names.

    >>> str(unknown("task", "sst-2", ["rte", "sst2"]))
    "unknown task 'sst-2': did you mean 'sst2'? (known: rte, sst2)"
    """
    known = sorted(known)
    closest = difflib.get_close_matches(name, known, n=NEAREST, cutoff=0.4)
    hint = f": did you mean {closest[0]!r}?" if closest else ""
    listing = f"known: {', '.join(known) or 'none'}"
    if closest and len(known) > MANY:
        listing = f"nearest of {len(known)}: {', '.join(closest)}"
    return UserError(f"unknown {kind} {name!r}{hint} ({listing})")


def first_line(error: BaseException) -> str:
    """Return an exception's type and the first line of its message.

    >>> first_line(ZeroDivisionError("division by zero")), first_line(AssertionError())
    ('ZeroDivisionError: division by zero', 'AssertionError')
    """
    message = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def describe_os_error(error: OSError) -> str:
    """Return a one-line message about a file or folder that could not be read or written."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
