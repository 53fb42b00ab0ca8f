"""What pytest does not collect doctests from, and what all tests share."""

import gc

import pytest

# Importing it is its work, and that of the server of `warm` alone.
collect_ignore = ["warm_up.py"]


@pytest.fixture(autouse=True)
def _light_collections():
    """What earlier tests imported stays: the collections of a run need not walk half a million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _unpredicted(request, monkeypatch):
    """Runs do not predict their memory unless a test asks: it takes longer than all else in a tiny one."""
    if "predicted" not in request.fixturenames:
        monkeypatch.setattr("benchmarks.training.run.predicted", lambda running: {})


@pytest.fixture
def predicted():
    """Runs predict their memory."""
