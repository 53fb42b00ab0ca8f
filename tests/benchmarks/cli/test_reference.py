"""The reference of the command line lists every option with its meaning."""

import dataclasses

import pytest

from benchmarks.cli import COMMANDS, reference
from benchmarks.config.methods import settings_of
from benchmarks.config.spec import RunSpec
from benchmarks.docs import marks
from benchmarks.docs.values import lines
from benchmarks.registry import ROOT, files

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def options(markdown):
    """Return option -> meaning, without the placeholder of the value."""
    return {cells[0].strip("`").split()[0].rstrip(","): cells[1] for _, cells in lines(markdown)}


def test_the_page_has_a_table_for_every_command_and_every_method():
    assert set(marks.tables(PAGE)) == set(reference.tables())
    assert set(reference.tables()) == {
        f"cli:{name}" for name in (*COMMANDS, *files("method"), *files("optimizer"))
    }


def test_every_field_of_a_run_is_an_option_of_run():
    found = options(reference.options(["run"]))
    for field in dataclasses.fields(RunSpec):
        if field.name != "settings":
            assert found[f"--{field.name.replace('_', '-')}"]


@pytest.mark.parametrize("method", [*files("method"), *files("optimizer")])
def test_every_setting_of_a_method_is_listed(method):
    found = options(reference.settings(method))
    assert found.keys() == {f"--{name.replace('_', '-')}" for name in settings_of(method)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_meaning(command):
    text = reference.options([command])
    assert all(options(text).values())
    # A cell with an unescaped bar would have more columns than its header.
    assert all(len(header) == len(cells) for header, cells in lines(text.replace("\\|", "")))
