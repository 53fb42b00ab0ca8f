"""Checkpoints of a run: the last state and the best weights, written whole or not at all.

    results/runs/<suite>/checkpoints/<spec id>-<identity>/last.pt, best-<step>.pt

`last.pt` holds all that the next step depends on and names the file of the best weights so far; that file is
written before it and the one it replaces is removed after it, so that a kill at any moment leaves a whole
pair. The identity is a hash of what the numbers depend on beside the spec (data, sources, libraries): a
checkpoint of other sources is never continued, never overwritten and never removed.
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

# Checkpoints take at most this share of the training time.
SHARE = 0.04
# What a write is thought to take before one was measured: a start, and bytes a second.
START, RATE = 0.02, 2e8
# Seconds of training after a write that failed before the next one is tried.
PAUSE = 60.0
STATE, BEST = "last.pt", "best-{}.pt"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: of all checkpoints of the suite.
        spec_id: the run's.
        identity: what must be equal for a run to continue bit for bit; plain values.
        say: takes one line for the user, at once.

    Attributes:
        seconds: spent on them, by all processes that worked on the run.
    """

    def __init__(
        self, folder: Path, spec_id: str, identity: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        text = json.dumps(identity, sort_keys=True)
        self.folder = folder / f"{spec_id}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.spec_id, self.say = spec_id, say
        self.seconds, self.rate = 0.0, RATE
        self._expected, self._not_before, self._failed = 0.0, 0.0, False
        self._found: dict[str, Any] | None = None

    def open(self) -> int:
        """Reads the last checkpoint, for `take`; the steps that it holds, 0 if there is none.

        One that cannot be read is set aside, and said so.
        """
        for other in sorted(self.folder.parent.glob(f"{self.spec_id}-*")):
            if other != self.folder and "." not in other.name:
                self.say(
                    f"a checkpoint of this run by other sources, data or libraries is in {other}: it is left "
                    "there, and the run starts anew"
                )
        try:
            self._found = self._load()
            return len(self._found["tally"]["step_seconds"]) if self._found else 0
        # Damage makes the reader raise whatever the code that meets it first happens to raise.
        except Exception as error:
            self.refuse(error)
            return 0

    def take(self) -> dict[str, Any] | None:
        """What `open` read, once: the state, tensors on the CPU, its best weights under "best"; or None."""
        found, self._found = self._found, None
        return found

    def refuse(self, error: Exception) -> None:
        """Sets aside what cannot be continued, and says why."""
        aside = set_aside(self.folder)
        self.seconds, self.rate = 0.0, RATE
        self.say(
            f"the checkpoint in {self.folder} cannot be continued ({_reason(error)}): set aside as "
            f"{aside.name}, the run starts anew"
        )

    def _load(self) -> dict[str, Any] | None:
        last, name = self.folder / STATE, None
        state = _read(last) if last.exists() else None
        if state is not None:
            name, spent = state["best"], state.pop("spent")
            state["best"] = None if name is None else _read(self.folder / name)
            self.seconds, self.rate = spent["seconds"], spent["rate"]
        # A kill may have come between the two files: what `last.pt` does not name is nobody's.
        for orphan in self.folder.glob(BEST.format("*")):
            if orphan.name != name:
                orphan.unlink()
        return state

    def due(self, train_seconds: float, size: int, best_step: int | None, best_size: int) -> bool:
        """Whether there is time for a checkpoint after that many training seconds.

        Args:
            train_seconds: so far, in all processes.
            size: bytes of the state.
            best_step: names the best weights; None where there are none.
            best_size: their bytes, written unless they are on disk already.
        """
        writes_best = best_step is not None and not (self.folder / BEST.format(best_step)).exists()
        self._expected = START + (size + best_size * writes_best) / self.rate
        return train_seconds >= self._not_before and self.seconds + self._expected <= SHARE * train_seconds

    def save(
        self,
        make_state: Callable[[], dict[str, Any]],
        best: Mapping[str, Any] | None = None,
        best_step: int | None = None,
        *,
        train_seconds: float = 0.0,
    ) -> None:
        """Writes a checkpoint in place of the one before; a failure is said, once, and the run goes on.

        Args:
            make_state: makes tensors, numbers, text, lists and dicts of them; its time counts.
            best: the best weights so far, or None.
            best_step: names them; equal steps are equal weights, and are not written again.
            train_seconds: so far, in all processes.
        """
        begin = time.perf_counter()
        name, size = None if best is None else BEST.format(best_step), 0
        try:
            state = make_state()
            self.folder.mkdir(parents=True, exist_ok=True)
            if name is not None and not (self.folder / name).exists():
                size += _write(self.folder / name, best)
            # What this very write takes is not known yet.
            spent = {"seconds": self.seconds + self._expected, "rate": self.rate}
            size += _write(self.folder / STATE, {**state, "best": name, "spent": spent})
            for old in self.folder.glob(BEST.format("*")):
                if old.name != name:
                    old.unlink()
        except (OSError, RuntimeError, MemoryError) as error:
            self._not_before = 1.25 * train_seconds + PAUSE
            if not self._failed:
                self.say(f"no checkpoint can be written to {self.folder} ({_reason(error)}): the run goes on")
            self._failed = True
        taken = time.perf_counter() - begin
        self.seconds += taken
        if size:
            # A slow write is believed at once, a fast one by and by.
            measured = size / max(taken - START, 1e-3)
            self.rate = min(measured, 1.5 * self.rate)

    def drop(self) -> None:
        """Removes the checkpoint: the run begins anew, or is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


def progress_mark(folder: Path, spec_id: str) -> tuple:
    """Something that changes with every checkpoint of a run: how far it has come, seen from outside."""
    marks = []
    for file in sorted(folder.glob(f"{spec_id}-*/{STATE}")):
        try:
            stat = file.stat()
        except FileNotFoundError:
            # Its run has just ended.
            continue
        marks.append((stat.st_mtime_ns, stat.st_ino))
    return tuple(marks)


def set_aside(path: Path) -> Path:
    """Renames a damaged file or folder to `<name>.damaged-<k>` beside it; the new path.

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


def _write(target: Path, content: Mapping[str, Any]) -> int:
    """Puts a whole new file in place of `target`, or leaves it as it was; its bytes."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        size = part.stat().st_size
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def _read(path: Path) -> Any:
    # torch does not look at the checksums of the archive that it writes.
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{path.name}: its part {damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: BaseException) -> str:
    """An error in a few words on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    # What torch's archive writer says when the file no longer grows.
    return "is the disk full?" if "inline_container" in line else line[:80]
