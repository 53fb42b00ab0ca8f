"""The one error a user sees as a single line, in words of the command line too, and the name they meant."""

import argparse
import difflib
from collections.abc import Iterable
from typing import NoReturn


class UserError(ValueError):
    """Something the user gave is wrong; the message says what, where, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest right one.

    Args:
        kind: what was looked for, in the singular ("task").
        name: what the user wrote.
        known: every right name.

    >>> str(unknown("task", "sst-2", ["rte", "sst2"]))
    "unknown task 'sst-2': did you mean 'sst2'? (known: rte, sst2)"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}(known: {', '.join(known)})")


class Parser(argparse.ArgumentParser):
    """Arguments of a command, whose mistakes are `UserError`s instead of a page on how to use it."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse with its complaint."""
        raise UserError(f"{message}: see {self.prog} --help")


def describe_os_error(error: OSError) -> str:
    """One line on a file or folder that could not be read or written."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
