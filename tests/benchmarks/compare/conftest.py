"""Fixtures shared by the tests of comparisons."""

import pytest

from benchmarks import registry
from benchmarks.results import store


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Write rows and suite files to an empty temporary folder, and return it."""
    folder = tmp_path / "results" / "runs"
    monkeypatch.setattr(store, "RUNS", folder)
    monkeypatch.setattr(registry, "RUNS", folder)
    return folder
