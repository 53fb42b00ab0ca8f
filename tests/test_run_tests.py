"""Tests of run_tests.sh: it selects a lane, forwards other arguments, and installs only Python packages."""

import os
import subprocess

import pytest

from tests.test_imports import ROOT

pytestmark = pytest.mark.process
STUB = """#!/usr/bin/env bash
echo "$(basename "$0") $(printf '[%s]' "$@")" >>"{log}"
[ "$1" != -c ] || echo "{prefix}"
"""


@pytest.fixture
def calls(tmp_path):
    """Return a function that runs the script with stub programs and returns the commands that it calls."""
    log, folder = tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "ruff", "apt-get", "sudo"):
        (folder / name).write_text(STUB.format(log=log, prefix=tmp_path))
        (folder / name).chmod(0o755)

    def run(*arguments: str) -> list[str]:
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "VIRTUAL_ENV": str(tmp_path)}
        environment["TEST_WORKERS"] = "3"
        log.unlink(missing_ok=True)
        subprocess.run([ROOT / "run_tests.sh", *arguments], env=environment, check=True, capture_output=True)
        return log.read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("lane", "markers"),
    [
        ([], "not slow"),
        (["--fast"], "not medium and not slow and not process and not browser"),
        (["--all"], ""),
    ],
)
def test_a_lane_selects_markers_and_other_arguments_go_to_pytest(calls, lane, markers):
    last = calls(*lane, "tests/plots", "-x")[-1]
    assert last == f"python [-m][pytest][-n][3][--dist][worksteal][-m][{markers}][tests/plots][-x]"


def test_the_script_lints_first_and_installs_python_packages_once_and_no_system_packages(calls):
    first, second = calls(), calls()
    assert [line for line in first if line.startswith("ruff")] == [
        "ruff [check][.]",
        "ruff [format][--check][.]",
    ]
    assert sum("[pip][install]" in line for line in first) == 1
    assert not any("[pip]" in line for line in second)
    assert not any(line.startswith(("apt-get", "sudo")) for line in first)
