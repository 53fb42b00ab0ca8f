"""An argument parser whose errors are one line with a suggestion."""

import argparse
import difflib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from benchmarks.errors import UserError, unknown


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help in at most 110 columns, with room for long option names."""

    def __init__(self, prog: str) -> None:
        columns = int(os.environ.get("COLUMNS", 0)) or shutil.get_terminal_size().columns
        super().__init__(prog, max_help_position=30, width=min(max(columns - 2, 60), 110))


class Parser(argparse.ArgumentParser):
    """Arguments of a command; mistakes are `UserError`s.

    Attributes:
        explain: returns the error for an option that the command does not have, where more can be said than
            which option is nearest; or None.
    """

    explain: Callable[[str], UserError | None] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": HelpFormatter} | options)

    def error(self, message: str) -> NoReturn:
        """Raise argparse's complaint."""
        raise UserError(f"{message}: see {self.prog} --help")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple:
        """Check option names before argparse parses, since it would first complain about what is missing."""
        if self._subparsers is None and args is not None:
            self._check_options(args)
        return super().parse_known_args(args, namespace)

    def _check_options(self, words: Sequence[str]) -> None:
        seen: set[str] = set()
        for word in words:
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
            # Of other options the last one counts, so that a script can override them.
            if action.default is argparse.SUPPRESS:
                seen.add(action.dest)

    def _unknown_option(self, option: str) -> UserError:
        error = self.explain(option) if self.explain else None
        if error:
            return error
        near = nearest_option(option, {o: a.help or "" for o, a in self._option_string_actions.items()})
        hint = f"did you mean {near}?" if near else f"see {self.prog} --help"
        return UserError(f"unknown option {option}: {hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            command = isinstance(action, argparse._SubParsersAction)
            raise unknown("command" if command else "/".join(action.option_strings), value, action.choices)


def nearest_option(option: str, helps: dict[str, str]) -> str | None:
    """Return the option that was probably meant: by its name, or by the words of its help.

    >>> nearest_option("--learning-rate", {"--lr": "learning rate", "--seed": "seed of the noise"})
    '--lr'
    >>> nearest_option("--sede", {"--lr": "learning rate", "--seed": "seed of the noise"})
    '--seed'
    """
    words = option.removeprefix("--").replace("-", " ").replace("_", " ")
    by_name = difflib.get_close_matches(option.replace("_", "-"), helps, n=1, cutoff=0.75)
    begins = [name for name, text in helps.items() if text.startswith(words)]
    holds = [name for name, text in helps.items() if re.search(rf"\b{re.escape(words)}\b", text)]
    far = difflib.get_close_matches(option.replace("_", "-"), helps, n=1, cutoff=0.6)
    return next(iter([*by_name, *begins, *far, *holds]), None)
