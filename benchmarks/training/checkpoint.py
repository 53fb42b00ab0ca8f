"""Checkpoints of a run: its last state and its best weights, each written completely or not at all.

    results/runs/<suite>/checkpoints/<spec id>-<identity>/last.pt, best-<step>.pt

`last.pt` holds everything that the next step depends on, and names the file of the best weights. That file is
written before it, and the file that it replaces is removed after it, so a kill at any moment leaves a
complete pair. The identity is a hash of what the numbers depend on besides the spec (data, sources,
libraries): a checkpoint with another identity is never continued, overwritten, or removed.
"""

import hashlib
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import UserError

STATE, BEST = "last.pt", "best-{}.pt"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: holds all checkpoints of the suite.
        spec_id: the run's id.
        identity: plain values that must be equal for a run to continue bit for bit.
        say: takes one line for the user.
        minutes: time between two checkpoints, besides those at evaluations.

    Attributes:
        seconds: time spent on writing them, in all processes that worked on the run.
    """

    def __init__(
        self,
        folder: Path,
        spec_id: str,
        identity: Mapping[str, Any],
        say: Callable[[str], None],
        minutes: float = 10.0,
    ) -> None:
        text = json.dumps(identity, sort_keys=True)
        self.folder = folder / f"{spec_id}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.spec_id, self.say, self.minutes = spec_id, say, minutes
        self.seconds = 0.0
        self._last_save, self._failed = time.monotonic(), False
        self._found: dict[str, Any] | None = None

    def open(self) -> int:
        """Read the last checkpoint, for `take`; return its steps, or 0 if there is none.

        A checkpoint that cannot be read is set aside, with a line to the user.
        """
        for other in sorted(self.folder.parent.glob(f"{self.spec_id}-*")):
            if other != self.folder and "." not in other.name:
                self.say(
                    f"ignoring checkpoint {other} (written by different code, data, or library versions): "
                    "starting from scratch"
                )
        try:
            self._found = self._load()
            return len(self._found["counters"]["step_seconds"]) if self._found else 0
        # A damaged file raises whatever the code that meets it first happens to raise.
        except Exception as error:
            self.refuse(error)
            return 0

    def take(self) -> dict[str, Any] | None:
        """Return what `open` read, once: the state with tensors on the CPU and its weights under "best"."""
        found, self._found = self._found, None
        return found

    def refuse(self, error: Exception) -> None:
        """Set aside a checkpoint that cannot be continued, and say why."""
        aside = set_aside(self.folder)
        self.seconds, self._found = 0.0, None
        self.say(
            f"cannot continue from checkpoint {self.folder} ({_reason(error)}): set aside as {aside.name}, "
            "starting from scratch"
        )

    def _load(self) -> dict[str, Any] | None:
        last, name = self.folder / STATE, None
        state = _read(last) if last.exists() else None
        if state is not None:
            name, self.seconds = state["best"], state["seconds"]
            state["best"] = None if name is None else _read(self.folder / name)
        self._remove_best_weights_except(name)
        return state

    def due(self) -> bool:
        """Return whether the last checkpoint is older than `minutes`."""
        return time.monotonic() - self._last_save >= 60 * self.minutes

    def save(
        self, state: Mapping[str, Any], best: Mapping[str, Any] | None = None, best_step: int | None = None
    ) -> None:
        """Replace the checkpoint. A failure is reported once, and the run goes on.

        Args:
            state: tensors, numbers, text, and lists and dicts of them.
            best: the best weights so far, or None.
            best_step: names them; equal steps have equal weights, which are not written again.
        """
        began = time.perf_counter()
        name = None if best is None else BEST.format(best_step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if name is not None and not (self.folder / name).exists():
                _write(self.folder / name, best)
            _write(self.folder / STATE, {**state, "best": name, "seconds": self.seconds})
            self._remove_best_weights_except(name)
        except (OSError, RuntimeError, MemoryError) as error:
            if not self._failed:
                self.say(f"cannot write a checkpoint to {self.folder} ({_reason(error)}): the run goes on")
            self._failed = True
        self.seconds += time.perf_counter() - began
        self._last_save = time.monotonic()

    def _remove_best_weights_except(self, name: str | None) -> None:
        for file in self.folder.glob(BEST.format("*")):
            if file.name != name:
                file.unlink()

    def drop(self) -> None:
        """Remove the checkpoint: the run starts over, or is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def progress_mark(folder: Path, spec_id: str) -> tuple:
    """Return a value that changes with every checkpoint of a run, for a process that watches it."""
    marks = []
    for file in sorted(folder.glob(f"{spec_id}-*/{STATE}")):
        try:
            stat = file.stat()
        except FileNotFoundError:
            # The run has just ended.
            continue
        marks.append((stat.st_mtime_ns, stat.st_ino))
    return tuple(marks)


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder to `<name>.damaged-<k>`; return the new path.

    Raises:
        UserError: it cannot be renamed.
    """
    k = 1
    while (aside := path.with_name(f"{path.name}.damaged-{k}")).exists():
        k += 1
    try:
        path.rename(aside)
    except OSError as error:
        raise UserError(f"{path} is damaged and cannot be set aside: {error.strerror}") from None
    return aside


def _write(target: Path, content: Mapping[str, Any]) -> None:
    """Replace a file completely, or leave it as it was."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Any:
    # torch does not look at the checksums of the archive that it writes.
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{path.name}: its part {damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: BaseException) -> str:
    """Return an error in a few words on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    # What torch's archive writer says when the file can no longer grow.
    return "is the disk full?" if "inline_container" in line else line[:80]
