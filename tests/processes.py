"""Processes that fork from a server with preloaded libraries, which saves seconds per process.

They handle SIGINT in Python's default way, because `conftest.py` restores it for the test session.
"""

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]


@cache
def context() -> ForkServerContext:
    """Return a `multiprocessing` context whose processes fork from the server."""
    forkserver_context = multiprocessing.get_context("forkserver")
    forkserver_context.set_forkserver_preload(["tests.preload"])
    # The libraries read these variables when they are imported.
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with mock.patch.dict(os.environ, environment):
        forkserver.ensure_running()
    return forkserver_context


def python(
    *words: object, cwd: Path, env: Mapping[str, str], timeout: float = 200
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ...` or `python FILE ...` in a new process.

    Args:
        words: the command-line arguments of `python`.
        cwd: the working directory.
        env: the complete environment.
        timeout: seconds after which the process is killed.

    Returns:
        The same object as `subprocess.run` with captured text.
    """
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = context().Process(target=_main, args=([str(w) for w in words], cwd, dict(env), out, err))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def descendants(pid: int) -> list[int]:
    """Return the ids of the running processes that a process started, directly or indirectly."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


def _main(words: list[str], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> None:
    for stream, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # The command may come from a copy of the repository, whose package is also named `tests`.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    first = [
        str(cwd) if words[0] == "-m" else os.path.dirname(words[0]),
        *env.get("PYTHONPATH", "").split(":"),
    ]
    sys.path[:] = [*filter(None, first), *(path for path in sys.path if path and Path(path) != ROOT)]
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
