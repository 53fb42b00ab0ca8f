"""Tests of `list`: a broken file is shown with its reason, and blocks no other."""

import pytest

from benchmarks.cli import main
from benchmarks.config.methods import methods_where, settings_of
from tests.benchmarks.bad_input.case import Sandbox, clear_caches


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    yield Sandbox(tmp_path, monkeypatch)
    monkeypatch.undo()
    clear_caches()


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("suite", "def specs(:\n", "suites/mine.py, line 1: SyntaxError"),
        ("task", "def task(:\n", "tasks/mine.py, line 1: SyntaxError"),
        ("task", "1 / 0\n", "tasks/mine.py, line 1: ZeroDivisionError: division by zero"),
        ("task", "TASK = 3\n", "tasks/mine.py: TASK is a int, not a Task"),
        (
            "task",
            "from dataclasses import replace\nfrom benchmarks.tasks.sst2 import TASK as SST2\n"
            "TASK = replace(SST2, metric='mcc')\n",
            "tasks/mine.py: unknown metric 'mcc' (known: accuracy, class_f1, exact_match, f1, matthews)",
        ),
    ],
)
def test_a_broken_file_is_listed_with_its_reason_beside_all_others(sandbox, capsys, kind, text, reason):
    sandbox.code(kind, text)
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (broken,) = [line for line in lines if "broken: " in line]
    assert broken.split()[0] == "mine"
    assert reason in broken
    assert any(line.split()[:1] == ["sst2"] for line in lines)


def test_a_broken_method_blocks_no_other(sandbox):
    sandbox.code("method", "import nowhere\n")
    assert methods_where(lambda method: "eps" in settings_of(method)) == ["addax", "mezo", "mezo-svrg"]
