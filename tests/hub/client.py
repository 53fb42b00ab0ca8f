"""Clients of a local hub: the settings of this process, and the environment of new processes."""

import os
from pathlib import Path

import pytest

from benchmarks.data import splits
from benchmarks.hub import models as hub_models


def use(url: str, home: Path, patch: pytest.MonkeyPatch, *, offline: bool = False) -> None:
    """Have this process use a server as its hub, with the cache in a folder.

    The libraries read these settings from environment variables when they are imported.
    """
    import datasets
    from huggingface_hub import constants

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "ADDAX_DATA"):
        patch.delenv(name, raising=False)
    patch.setenv("HF_ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_URL_HOSTS": frozenset({"127.0.0.1"}),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": offline,
        # The client writes whole chunks, which have 10 MB by default.
        "DOWNLOAD_CHUNK_SIZE": 100,
    }.items():
        patch.setattr(constants, name, value)
    for name, value in {
        "HF_ENDPOINT": url,
        "HF_HUB_OFFLINE": offline,
        "HF_DATASETS_CACHE": home / "datasets",
    }.items():
        patch.setattr(datasets.config, name, value)
    forget()


def forget() -> None:
    """Clear what this process knows of the hub, as a new process would start."""
    hub_models._folder.cache_clear()
    splits._load.cache_clear()
    splits._summary_of.cache_clear()


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a new process that uses a server as its hub, with the cache in a folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k != "ADDAX_DATA"}
    return kept | {"HF_ENDPOINT": url, "HF_HOME": str(home)} | more
