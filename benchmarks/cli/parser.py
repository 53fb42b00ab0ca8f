"""Argument parser whose errors are a single line with a suggestion."""

import argparse
import difflib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from benchmarks.errors import UserError, unknown


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help formatter with at most 110 columns and room for long option names."""

    def __init__(self, prog: str) -> None:
        columns = int(os.environ.get("COLUMNS", 0)) or shutil.get_terminal_size().columns
        super().__init__(prog, max_help_position=30, width=min(max(columns - 2, 60), 110))


class Parser(argparse.ArgumentParser):
    """Argument parser of a command; it raises a `UserError` for every mistake.

    Attributes:
        explain: called with an unknown option; returns a specific error for it, or None to use the default
            error, which suggests the closest option.
    """

    explain: Callable[[str], UserError | None] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": HelpFormatter} | options)

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message as a `UserError`."""
        raise UserError(f"{message}: see {self.prog} --help")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple:
        """Check option names before argparse parses, because argparse reports missing options first."""
        if self._subparsers is None and args is not None:
            self._check_options(args)
        return super().parse_known_args(args, namespace)

    def _check_options(self, argv: Sequence[str]) -> None:
        seen: set[str] = set()
        for word in argv:
            if word == "--":
                return
            option = word.partition("=")[0]
            if not option.startswith("--"):
                continue
            action = self._option_string_actions.get(option)
            if action is None:
                raise self._unknown_option(option)
            if action.dest in seen:
                raise UserError(f"{option} is given twice")
            # Other options may repeat, and the last value counts, so a script can override them.
            if action.default is argparse.SUPPRESS:
                seen.add(action.dest)

    def _unknown_option(self, option: str) -> UserError:
        error = self.explain(option) if self.explain else None
        if error:
            return error
        nearest = nearest_option(option, {o: a.help or "" for o, a in self._option_string_actions.items()})
        hint = f"did you mean {nearest}?" if nearest else f"see {self.prog} --help"
        return UserError(f"unknown option {option}: {hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            is_command = isinstance(action, argparse._SubParsersAction)
            raise unknown("command" if is_command else "/".join(action.option_strings), value, action.choices)


def nearest_option(option: str, helps: dict[str, str]) -> str | None:
    """Return the option that the user probably meant, judged by its name or its help text.

    >>> nearest_option("--learning-rate", {"--lr": "learning rate", "--seed": "seed of the noise"})
    '--lr'
    >>> nearest_option("--sede", {"--lr": "learning rate", "--seed": "seed of the noise"})
    '--seed'
    """
    words = option.removeprefix("--").replace("-", " ").replace("_", " ")
    by_name = difflib.get_close_matches(option.replace("_", "-"), helps, n=1, cutoff=0.75)
    starts = [name for name, text in helps.items() if text.startswith(words)]
    contains = [name for name, text in helps.items() if re.search(rf"\b{re.escape(words)}\b", text)]
    loose = difflib.get_close_matches(option.replace("_", "-"), helps, n=1, cutoff=0.6)
    return next(iter([*by_name, *starts, *loose, *contains]), None)
