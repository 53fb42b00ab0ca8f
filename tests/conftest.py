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


@pytest.fixture
def predicted():
    """Runs predict their memory."""
