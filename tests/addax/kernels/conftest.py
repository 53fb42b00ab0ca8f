"""Fixtures of the kernels' tests."""

from collections.abc import Iterator

import pytest

from addax.kernels import launch
from tests.addax.kernels.interpreter import kernels_on_cpu


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interpret the kernels on CPU tensors. Few wide programs take the least time."""
    monkeypatch.setattr(launch, "WIDTH", 512)
    with kernels_on_cpu():
        yield
