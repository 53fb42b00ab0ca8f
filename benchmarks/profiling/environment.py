"""Environment: the library versions, hardware, and commit that a result row records."""

import importlib.metadata
import platform
import subprocess
from functools import cache
from typing import Any

import torch

from benchmarks.profiling.devices import gpus_of, hardware_of
from benchmarks.registry import ROOT

# Paths that define a row's numbers. Other changes, such as regenerated figures, do not count as dirty.
SOURCES = ("addax", "baselines", "benchmarks", "constraints.txt", "pyproject.toml")
# Name in a row -> distribution.
PACKAGES = {"addax": "addax-optim"} | {
    name: name for name in ("torch", "transformers", "tokenizers", "numpy", "datasets")
}


def provenance_fields(*devices: torch.device | str) -> dict[str, Any]:
    """Return the provenance fields of a row.

    Args:
        devices: the devices that worked on the row's numbers, such as "cpu" or "cuda:1".

    Returns:
        versions (see `versions`), hardware (of these devices only, see `hardware_of`), gpus (the number of
        cards; only if there are any), threads, git_commit, and git_dirty (both None without git).
    """
    found = list(map(torch.device, devices))
    gpus = gpus_of(found)
    return {
        "versions": versions(),
        "hardware": hardware_of(found),
        **({"gpus": len(gpus)} if gpus else {}),
        "threads": torch.get_num_threads(),
        **_commit(),
    }


@cache
def versions() -> dict[str, str | None]:
    """Return the versions of Python and of `PACKAGES` by name; None for a package that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name, distribution in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@cache
def _commit() -> dict[str, Any]:
    dirty = _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return {"git_commit": _git("rev-parse", "HEAD"), "git_dirty": None if dirty is None else bool(dirty)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
