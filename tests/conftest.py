"""What pytest does not collect doctests from, and what all tests share."""

import gc

import pytest

# Importing it is its work, and that of the server of `warm` alone.
collect_ignore = ["warm_up.py"]


@pytest.fixture(autouse=True)
def _light_collections():
    """What earlier tests have imported stays: a run's own collections need not walk half a million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def unpredicted(monkeypatch):
    """Runs without the prediction of their memory, which takes longer than all else in a tiny run."""
    monkeypatch.setattr("benchmarks.train.predicted", lambda running: {})
