"""Tests of the session's settings: interrupts, also in a background job, and the marker `slow_except`."""

import os
import subprocess
import sys

import pytest

from tests.test_imports import ROOT

CHILD = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


def test_a_process_that_a_test_starts_handles_interrupts():
    assert subprocess.check_output([sys.executable, "-c", CHILD], text=True) == "True\n"


@pytest.mark.process
@pytest.mark.parametrize("workers", ["0", "1"])
def test_interrupts_reach_a_process_if_the_session_is_a_background_job(workers):
    """A shell without job control starts `COMMAND &` with SIGINT ignored; `trap` has the same effect here."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-n",
        workers,
        "-k",
        "handles_interrupts",
        __file__,
    ]
    script = 'trap "" INT; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], cwd=ROOT, env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "100%" in done.stdout


@pytest.mark.slow_except("listed")
@pytest.mark.parametrize("_case", [pytest.param(0, id="listed"), pytest.param(1, id="unlisted")])
def test_slow_except_marks_all_cases_except_those_that_it_lists(request, _case):
    assert ("slow" in request.node.keywords) == (request.node.callspec.id == "unlisted")
