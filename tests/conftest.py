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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a slow family as slow, apart from those that `slow_except` names by their ids."""
    for item in items:
        if (marker := item.get_closest_marker("slow_except")) and item.callspec.id not in marker.args:
            item.add_marker("slow")
