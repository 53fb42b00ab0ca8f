"""What all tests of sweeps share."""

import pytest

from benchmarks.results import store


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The folder that the rows of suite "s" go to, below an empty one."""
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")
    return tmp_path / "runs" / "s"
