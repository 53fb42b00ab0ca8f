"""Tests that fields and settings parsed from source files equal those of the imported classes."""

import dataclasses
import inspect

import pytest

from benchmarks import registry
from benchmarks.cli import describe
from benchmarks.cli.describe import REQUIRED, method_settings, run_fields, sections
from benchmarks.config.methods import settings_of
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError

METHODS = list(registry.files("method"))

OPTIONS = '''
from typing import TypedDict

class Options(TypedDict, total=False):
    """Shared options.

    Attributes:
        eps: perturbation
            scale.
    """

    eps: float
    seed: int

DEFAULTS: Options = {"eps": 1e-3, "seed": 0}
'''
BASE = '''
class Base:
    """Base.

    Args:
        lr: learning rate.
    """

    closures = ("zo_loss",)
'''
METHOD = '''
"""A method."""

from typing import Unpack
from addax.base import Base
from addax.shared import Options

class Mine(Base):
    """Mine.

    Args:
        beta, gamma: two numbers.
        eps: as in `addax.Addax`.
    """

    label = "Mine"

    def __init__(self, model, lr: float, *, beta: tuple[float, float] = (0.5, 1.0), gamma=None,
                 **options: Unpack[Options]):
        pass
'''


def test_every_field_of_a_run_has_its_default_and_a_line_of_help():
    fields = run_fields()
    expected = {f.name: f.default for f in dataclasses.fields(RunSpec) if f.name != "settings"}
    missing = dataclasses.MISSING
    assert {n: missing if p.default is REQUIRED else p.default for n, p in fields.items()} == expected
    assert [name for name, field in fields.items() if not field.help] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_a_method_has_its_default_and_a_line_of_help(method):
    found = method_settings(method)
    empty = inspect.Parameter.empty
    assert {n: empty if p.default is REQUIRED else p.default for n, p in found.items()} == settings_of(method)
    assert [name for name, setting in found.items() if not setting.help] == []


def test_zero_shot_has_no_settings_and_an_unknown_method_is_named():
    assert method_settings("zero-shot") == {}
    with pytest.raises(UserError, match="did you mean 'mezo'"):
        method_settings("mzo")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Create a repository with one method, whose options and base class are in other files."""
    for path, text in (("addax/shared.py", OPTIONS), ("addax/base.py", BASE), ("baselines/mine.py", METHOD)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "METHOD_FILES", ())
    caches = (registry.files, describe.method_settings)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_settings_come_from_the_constructor_its_base_classes_and_unpacked_options(sources):
    found = {name: (p.default, p.help) for name, p in method_settings("mine").items()}
    assert found == {
        "lr": (REQUIRED, "learning rate"),
        "beta": ((0.5, 1.0), "two numbers"),
        "gamma": (None, "two numbers"),
        "eps": (1e-3, "perturbation scale"),
        "zo_batch_size": (16, "K0, the number of examples in the zeroth-order batch"),
    }


def test_a_method_file_with_a_syntax_error_gives_a_one_line_error(sources):
    (sources / "baselines" / "mine.py").write_text("def (:\n")
    describe._tree.cache_clear()
    with pytest.raises(UserError, match=r"mine\.py, line 1: SyntaxError"):
        method_settings("mine")


def test_sections_of_a_docstring_are_joined_to_one_line():
    text = "Head.\n\nArgs:\n    a, b: one\n        and two.\n    c: three.\n\nRaises:\n    d: never."
    assert sections(text) == {"a": "one and two", "b": "one and two", "c": "three"}
