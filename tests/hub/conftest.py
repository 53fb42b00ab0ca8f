"""A server as the hub of the test's process, with an empty cache."""

import pytest

from tests.hub.client import use
from tests.hub.server import running


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Run an empty server, and have this process use it as its hub."""
    with running() as server:
        use(server.url, tmp_path / "home", monkeypatch)
        yield server
