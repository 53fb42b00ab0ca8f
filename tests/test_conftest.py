"""The test session's settings: processes that tests start react to an interrupt, also in a background job."""

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
