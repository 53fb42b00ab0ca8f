"""Settings of the test session: ignored files, handling of interrupts, and the marker `slow_except`."""

import signal

import pytest

# Importing this file runs a model. Only the server in `tests/processes.py` needs it.
collect_ignore = ["preload.py"]


def pytest_sessionstart() -> None:
    """Restore the default handling of SIGINT, also for the processes that tests start.

    A shell starts background jobs (`nohup ./run_tests.sh &`) with SIGINT ignored. Child processes inherit
    ignored signals, but reset signals that have a handler.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every parameter as a large one, although the models of the tests are tiny."""
    from addax import small_tensors

    monkeypatch.setattr(small_tensors, "SMALL", 0)


@pytest.fixture(params=["large", "small"])
def both_sizes(request: pytest.FixtureRequest) -> None:
    """Run a test twice: with every parameter treated as a large one, and as they are, which is small."""
    if request.param == "large":
        request.getfixturevalue("all_large")


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Time no steps before a sweep, and know no timings that other sweeps on this machine have stored.

    `tests/benchmarks/sweep/test_cost_sources.py` tests the timings.
    """
    from benchmarks.sweep import cost_sources

    monkeypatch.setattr(cost_sources, "SHORT", float("inf"))
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path_factory.mktemp("no_timings")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a parametrized test as slow, except those whose ids `slow_except` lists."""
    for item in items:
        if (marker := item.get_closest_marker("slow_except")) and item.callspec.id not in marker.args:
            item.add_marker("slow")
