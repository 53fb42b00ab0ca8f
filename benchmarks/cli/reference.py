"""Tables of all options of the command line, for the documentation."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

from tabulate import tabulate

from benchmarks import registry
from benchmarks.cli import COMMANDS, build_parser

SETTINGS = "settings of "


def tables() -> dict[str, Callable[[], str]]:
    """Return Markdown by name: "cli:COMMAND", and "cli:METHOD" for the settings of a method."""
    found: dict[str, Callable[[], str]] = {f"cli:{name}": partial(options, [name]) for name in COMMANDS}
    for name in (*registry.files("method"), *registry.files("optimizer")):
        found[f"cli:{name}"] = partial(settings, name)
    return found


def options(words: Sequence[str]) -> str:
    """Return one table per group of a command's options, except for the settings of methods."""
    blocks = []
    for group in _command(words)._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions and not (group.title or "").startswith(SETTINGS):
            blocks.append(f"**{group.title}**\n\n{_table(words, actions)}")
    return "\n\n".join(blocks) or "No options."


def settings(method: str) -> str:
    """Return a table of the settings of one method."""
    words = ["run", "--method", method]
    (group,) = (g for g in _command(words)._action_groups if (g.title or "").startswith(SETTINGS))
    return _table(words, group._group_actions)


def _command(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = build_parser(words)
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices[words[0]]


def _table(words: Sequence[str], actions: Sequence[argparse.Action]) -> str:
    formatter = _command(words)._get_formatter()
    lines = [
        {"option": f"`{_usage(action, formatter)}`", "meaning": _meaning(action, formatter)}
        for action in actions
    ]
    return tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)


def _usage(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    """Return the option with its value, as in `--lr X`."""
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    names = ", ".join(action.option_strings)
    return (f"{names} {value}".strip() if names else action.metavar or action.dest).replace("|", "\\|")


def _meaning(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    text = formatter._expand_help(action) if action.help else ""
    return text.replace("|", "\\|").replace("<", "&lt;")
