"""Tracking: what runs tell Weights & Biases, by way of a process of its own that may be slow, hang or die.

wandb is never imported here. A worker hands rows to a pipe that it never waits for; `_wandb_writer.py` at
the other end, at the lowest priority, tells wandb. What no longer fits into the pipe is kept in memory up to
`LIMIT`; beyond it rows of steps are dropped and counted.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.config import labels
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError, unknown
from benchmarks.sweep._wandb_writer import children, take_share

MODES = ("offline", "online", "disabled")
# Values of a row that may be dropped; anything else (an evaluation) is rare, and wanted.
STEP_VALUES = frozenset(("loss", "lr", "projected_grad", "step_seconds", "peak_bytes"))
# Bytes waiting for the pipe: about 70,000 steps. At twice as many wandb is given up.
LIMIT = 8 * 2**20
WRITER = Path(__file__).with_name("_wandb_writer.py")
# The writer's exit code where it has said itself what is wrong.
TOLD = 3


def default_mode() -> str:
    """The mode "offline" where wandb is installed, else "disabled"."""
    found = importlib.util.find_spec("wandb")
    # A folder of runs named wandb in the working directory is found too, as a package without a file.
    return "offline" if found and found.origin else "disabled"


def check_mode(mode: str | None) -> str:
    """The mode to use; None stands for the default.

    Raises:
        UserError: no such mode, or one that needs wandb where it is not installed.
    """
    if mode is None:
        return default_mode()
    if mode not in MODES:
        raise unknown("wandb mode", mode, MODES)
    if mode != "disabled" and default_mode() == "disabled":
        raise UserError(f"--wandb {mode} needs wandb: pip install -e '.[tracking]', or give --wandb disabled")
    return mode


class Tracker:
    """Where the runs of one worker process log; one for its whole life.

    Nothing here raises, and only `close` waits. The first failure is one line on stderr.

    Args:
        mode: one of `MODES`, from `check_mode`.
        folder: where wandb writes. wandb itself insists on the name "wandb".
    """

    def __init__(self, mode: str, folder: Path) -> None:
        if folder.name != "wandb":
            raise ValueError(f"wandb names its folder wandb, not {folder.name}")
        self.mode = mode
        self.folder = folder.absolute()
        self._writer: subprocess.Popen | None = None
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self._over = mode == "disabled"
        self._count = itertools.count()

    def begin(self, spec: RunSpec, suite: str, resumed_step: int = 0) -> "RunLog":
        """Begins a run; the first one starts the writer.

        Args:
            spec: the run's configuration.
            suite: the first part of the run's group.
            resumed_step: the step that an earlier attempt is continued from. Online its history goes on;
                0 replaces what an earlier attempt left under the same id.
        """
        run = RunLog(self, next(self._count))
        if not self._over:
            run.tell("begin", identity=_identity(spec, suite), resumed_step=resumed_step)
        return run

    def close(self, timeout: float = 30.0) -> None:
        """Waits until all is written, at most `timeout` seconds; then ends the writer and says so."""
        with self._lock:
            writer, self._over = self._writer, True
            self._writer = None
            if writer is None:
                return
            end = time.monotonic() + timeout
            # Nothing is trained any more, and somebody waits.
            for process in (writer.pid, *children(writer.pid)):
                take_share(process, 0)
            try:
                self._drain(writer, end)
                writer.stdin.close()
                writer.wait(max(0.0, end - time.monotonic()))
                _explain(writer)
            except OSError:
                _explain(writer)
            except subprocess.TimeoutExpired:
                _kill(writer)
                _warn(
                    f"wandb was not done after {timeout:g} s and was stopped: what it had not written is "
                    f"lost (`wandb sync` sends what lies in {self.folder})"
                )

    def send(self, message: Mapping[str, Any], *, droppable: bool) -> bool:
        """Hands a message over without waiting; False where it was dropped. Never raises."""
        with self._lock:
            if self._over:
                return False
            try:
                if droppable and len(self._waiting) > LIMIT:
                    self._push()
                    return False
                if self._writer is None:
                    self._writer = self._start()
                self._waiting += json.dumps(message, default=float).encode() + b"\n"
                self._push()
                if len(self._waiting) > 2 * LIMIT:
                    raise TimeoutError("it has not taken anything for too long")
            except BrokenPipeError:
                _explain(self._writer)
                self._give_up()
            except Exception as error:
                self._give_up()
                _warn(f"runs go on without wandb: {type(error).__name__}: {error}")
            return not self._over

    def _start(self) -> subprocess.Popen:
        writer = subprocess.Popen(
            # -P: the folder of the writer is full of names that wandb's own imports might find.
            [sys.executable, "-P", WRITER, self.mode, self.folder, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            # Ctrl-C is for the harness; the writer ends when its pipe does. It takes the least share of the
            # cores, which is a session's to take.
            start_new_session=True,
        )
        os.set_blocking(writer.stdin.fileno(), False)
        return writer

    def _push(self) -> None:
        """As much into the pipe as it takes."""
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                del self._waiting[: os.write(self._writer.stdin.fileno(), self._waiting)]

    def _drain(self, writer: subprocess.Popen, end: float) -> None:
        pipe = writer.stdin.fileno()
        while self._waiting:
            left = end - time.monotonic()
            if left <= 0 or not select.select([], [pipe], [], left)[1]:
                raise subprocess.TimeoutExpired(writer.args, left)
            del self._waiting[: os.write(pipe, self._waiting)]

    def _give_up(self) -> None:
        self._over = True
        self._waiting.clear()
        if self._writer is not None:
            _kill(self._writer)
            self._writer = None


class RunLog:
    """What one run tells; made by `Tracker.begin`."""

    def __init__(self, tracker: Tracker, key: int) -> None:
        self._tracker, self._key = tracker, key
        self._dropped = 0

    def log(self, step: int, **values: float | None) -> None:
        """A row of the run's history; values of one step may come in several calls.

        Args:
            step: optimizer steps taken; must not fall.
            values: of `STEP_VALUES`, or of an evaluation ("validation/score"); None is left out.
        """
        if self._tracker.mode == "disabled":
            return
        values = {name: value for name, value in values.items() if value is not None}
        if values:
            droppable = values.keys() <= STEP_VALUES
            self._dropped += not self.tell("log", droppable, step=step, values=values, time=time.time())

    def finish(self, row: Mapping[str, Any]) -> None:
        """The end of a run: every scalar of its result row, those of nested fields under "field/name"."""
        if self._tracker.mode != "disabled":
            summary = _scalars(row) | ({"dropped_rows": self._dropped} if self._dropped else {})
            self.tell("finish", summary=summary, failed=row.get("status") != "done")

    def tell(self, what: str, droppable: bool = False, **message: Any) -> bool:
        """Sends a message of this run."""
        return self._tracker.send({"run": self._key, "what": what, **message}, droppable=droppable)


def _identity(spec: RunSpec, suite: str) -> dict[str, Any]:
    """The arguments of `wandb.init` that say which run it is; wandb limits their lengths."""
    # The path of a local model is nobody else's concern.
    model = Path(spec.model).name if Path(spec.model).is_dir() else spec.model
    parts = (suite, model, spec.task, labels.label(spec))
    return {
        "id": re.sub(r"[^\w-]", "-", f"{suite}-{spec.id}"),
        "name": f"{labels.label(spec)} {spec.task} {model} seed {spec.seed}"[:128],
        "group": "/".join(parts)[:128],
        "job_type": spec.method,
        "tags": [part[:64] for part in parts],
        "config": spec.config() | {"id": spec.id, "suite": suite, "label": labels.label(spec)},
    }


def _scalars(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and name != "config":
            found |= _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, str)):
            found[prefix + name] = value
    return found


def _kill(writer: subprocess.Popen) -> None:
    """wandb's own process ends by itself when the writer is gone."""
    writer.kill()
    writer.wait()
    writer.stdin.close()


def _explain(writer: subprocess.Popen) -> None:
    """Says that the writer has ended, unless it did so as it should or has given its reason."""
    if (code := writer.wait()) not in (0, TOLD):
        _warn(f"runs go on without wandb: its process ended with code {code}")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
