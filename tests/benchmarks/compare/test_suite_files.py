"""Tests of the files of a comparison: they are suites, and equal arguments continue it."""

import pytest

from benchmarks import registry, suites
from benchmarks.compare.suite_files import Comparison, default_name, is_continued
from benchmarks.errors import UserError

ARGUMENTS = {"seeds": 1, "memory": None, "values": {"head": "lm"}, "centers": {"adam": 1e-05}}
COMMON = {"model": "nano-opt", "task": "sst2", "data": "builtin", "steps": 10, "seed": 0}


def comparison(name="mine", **changes):
    values = {"about": 'A "quoted" name.', "arguments": ARGUMENTS, "data": "builtin", "common": COMMON}
    values |= {"methods": {"adam": {"betas": (0.5, 0.9)}}, "centers": {"adam": 1e-5}, "seeds": 1}
    return Comparison(name=name, **values | {"constants": {"JOBS": 1}} | changes)


def test_both_files_are_suites_but_not_listed(runs):
    comparison().write()
    assert registry.is_suite("mine")
    assert registry.is_suite("mine-trials")
    assert "mine" not in registry.files("suite")
    assert registry.summary("suite", "mine") == 'A "quoted" name.'
    assert suites.data("mine") == "builtin"
    assert suites.jobs("mine-trials") == 1
    first = suites.load("mine-trials")[0]
    assert (first.method, first.settings["betas"], first.settings["lr"]) == ("adam", [0.5, 0.9], 1e-6)


def test_a_rewritten_file_is_read_again(runs):
    comparison().write()
    before = suites.load("mine-trials")[1].settings["lr"]
    comparison(centers={"adam": 3e-5}).write()
    assert (before, suites.load("mine-trials")[1].settings["lr"]) == (1e-5, 3e-5)


def test_a_file_copied_to_the_suites_is_the_same_suite(runs, tmp_path, monkeypatch):
    comparison().write()
    expected = [spec.id for spec in suites.load("mine-trials")]
    copy = tmp_path / "own.py"
    copy.write_text(registry.comparison_file("mine-trials").read_text())
    namespace = {}
    exec(compile(copy.read_text(), copy, "exec"), namespace)
    assert [spec.id for spec in namespace["specs"]()] == expected


def test_equal_arguments_continue_a_comparison_and_others_are_an_error(runs):
    assert not is_continued("mine", ARGUMENTS)
    comparison().write()
    assert is_continued("mine", ARGUMENTS)
    with pytest.raises(UserError, match=r"other arguments \(memory, seeds\): choose another --name"):
        is_continued("mine", ARGUMENTS | {"memory": "2GB", "seeds": 2})
    registry.comparison_file("mine").write_text("def specs(:\n")
    with pytest.raises(UserError, match="is not the file of a comparison"):
        is_continued("mine", ARGUMENTS)


def test_a_default_name_depends_on_all_arguments():
    names = {default_name("a/b", "sst2", {"seeds": n}) for n in (1, 2)}
    assert len(names) == 2
    assert all(name.startswith("b-sst2-") for name in names)
