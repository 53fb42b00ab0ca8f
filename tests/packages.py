"""Marks that skip the tests of a method whose package is not installed."""

from importlib.util import find_spec

import pytest


def needs(package: str) -> pytest.MarkDecorator:
    """Return the mark for a test that needs an optional package."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}")


NEEDS = {"adam8bit": needs("bitsandbytes"), "schedule-free": needs("schedulefree")}
