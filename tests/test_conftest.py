"""The settings of the test session: reaction to interrupts, also in a background job, and slow families."""

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
def test_it_does_so_where_the_session_is_a_background_job(workers):
    """A shell without job control starts `COMMAND &` with SIGINT ignored; here `trap` does."""
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


@pytest.mark.slow_except("kept")
@pytest.mark.parametrize("_case", [pytest.param(0, id="kept"), pytest.param(1, id="left out")])
def test_a_slow_family_keeps_the_cases_that_its_marker_names(request, _case):
    assert ("slow" in request.node.keywords) == (request.node.callspec.id == "left out")
