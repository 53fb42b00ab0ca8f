"""Environment: the library versions, hardware, and commit that a result row records."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from typing import Any

import torch

from benchmarks.registry import ROOT

# Paths that define a row's numbers. Other changes, such as regenerated figures, do not count as dirty.
SOURCES = ("addax", "baselines", "benchmarks", "constraints.txt", "pyproject.toml")
# Name in a row -> distribution.
PACKAGES = {"addax": "addax-optim"} | {
    name: name for name in ("torch", "transformers", "tokenizers", "numpy", "datasets")
}


@cache
def provenance_fields() -> dict[str, Any]:
    """Return the provenance fields of a row; they are read once per process.

    Returns:
        versions (by package; None for a package that is not installed), hardware, threads, git_commit, and
        git_dirty (both None without git).
    """
    versions = {"python": platform.python_version()}
    for name, distribution in PACKAGES.items():
        try:
            versions[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    commit = _git("rev-parse", "HEAD")
    dirty = _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return {
        "versions": versions,
        "hardware": _hardware(),
        "threads": torch.get_num_threads(),
        "git_commit": commit,
        "git_dirty": None if dirty is None else bool(dirty),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"
