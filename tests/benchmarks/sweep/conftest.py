"""Fixtures shared by the tests of sweeps."""

import pytest

from benchmarks.results import store


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Write rows to an empty temporary folder, and return the subfolder of suite "s"."""
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")
    return tmp_path / "runs" / "s"
