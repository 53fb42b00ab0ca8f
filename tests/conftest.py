"""What pytest does not collect doctests from, and what all tests share."""

import signal

import pytest

# Its import runs a model, for the server of `processes` alone.
collect_ignore = ["preload.py"]


def pytest_sessionstart() -> None:
    """Give the processes that tests start the default reaction to an interrupt.

    A shell starts background jobs (`nohup ./run_tests.sh &`) with SIGINT ignored. A child process inherits
    ignored signals, and resets signals that have a handler.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _unpredicted(request, monkeypatch):
    """Runs do not predict their memory unless a test asks: it takes longer than all else in a tiny one."""
    if "predicted" not in request.fixturenames:
        monkeypatch.setattr("benchmarks.training.run.predicted", lambda running: {})


@pytest.fixture
def predicted():
    """Runs predict their memory."""
