"""Checkpoints of a run: the last state and the best weights, written whole or not at all.

    results/runs/<suite>/checkpoints/<spec id>-<identity>/last.pt, best-<step>.pt

`last.pt` holds all that the next step depends on and names the file of the best weights so far; that file is
written before it and the one it replaces is removed after it, so that a kill at any moment leaves a whole
pair. The identity is a hash of what the numbers depend on beside the spec (data, sources, libraries): a
checkpoint of other sources is never continued, and never overwritten.
"""

import contextlib
import hashlib
import json
import os
import pickle
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
# What writing is thought to cost before it was measured: a start, and bytes a second.
FIRST_SECONDS, FIRST_RATE = 0.02, 2e8
STATE, BEST = "last.pt", "best-{}.pt"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: of all checkpoints of the suite.
        spec_id: the run's.
        identity: what must be equal for a run to continue bit for bit; plain values.
        say: takes one line for the user.
    """

    def __init__(
        self, folder: Path, spec_id: str, identity: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        text = json.dumps(identity, sort_keys=True)
        self.folder = folder / f"{spec_id}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.spec_id, self.identity, self.say = spec_id, dict(identity), say
        self.seconds = 0.0
        self.cost: float | None = None
        self.broken = False
        self._found: dict[str, Any] | None = None

    def open(self) -> int:
        """Reads the last checkpoint, for `take`; the steps that it holds, 0 if there is none."""
        self._found = self._load()
        return len(self._found["tally"]["step_seconds"]) if self._found else 0

    def take(self) -> dict[str, Any] | None:
        """What `open` read, once: the state, tensors on the CPU, its best weights under "best"; or None."""
        found, self._found = self._found, None
        return found

    def _load(self) -> dict[str, Any] | None:
        """The last state saved; None if there is none, or it cannot be read, is set aside and said so."""
        self._mention_others()
        last = self.folder / STATE
        if not last.exists():
            return None
        try:
            state = _read(last)
            len(state["tally"]["step_seconds"])
            if state["best"] is not None:
                state["best"] = _read(self.folder / state["best"])
            return state
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, TypeError,
                pickle.UnpicklingError, zipfile.BadZipFile) as error:  # fmt: skip
            aside = set_aside(self.folder)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self.say(
                f"the checkpoint in {self.folder} cannot be read ({reason:.80}): set aside as {aside.name}, "
                "the run starts anew"
            )
            return None

    def due(self, train_seconds: float, size: int) -> bool:
        """Whether there is time for another checkpoint of `size` bytes after that many training seconds."""
        expected = FIRST_SECONDS + size / FIRST_RATE if self.cost is None else self.cost
        return not self.broken and self.seconds + expected <= SHARE * train_seconds

    def save(self, state: Mapping[str, Any], best: Mapping[str, Any] | None, best_step: int | None) -> None:
        """Writes a checkpoint in place of the one before.

        Args:
            state: tensors, numbers, text, lists and dicts of them.
            best: the best weights so far, or None.
            best_step: names them; equal steps are equal weights, and are not written again.
        """
        begin = time.perf_counter()
        name = None if best is None else BEST.format(best_step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if name is not None and not (self.folder / name).exists():
                _write(self.folder / name, best)
            _write(self.folder / STATE, {**state, "best": name})
            for old in self.folder.glob(BEST.format("*")):
                if old.name != name:
                    old.unlink()
        except (OSError, RuntimeError) as error:
            # torch reports a full disk as a RuntimeError of its archive writer.
            self.broken = True
            reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0][:80]
            self.say(f"no checkpoint can be written to {self.folder} ({reason}): the run goes on without")
        spent = time.perf_counter() - begin
        self.seconds += spent
        self.cost = spent if self.cost is None else max(spent, 0.5 * self.cost)

    def remove(self) -> None:
        """Removes the run's checkpoints, those of other sources too: its row is written."""
        for folder in self._folders():
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def drop(self) -> None:
        """Removes this run's own checkpoint: it begins anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [f for f in self.folder.parent.glob(f"{self.spec_id}-*") if f.is_dir()]

    def _mention_others(self) -> None:
        for other in self._folders():
            if other != self.folder and "." not in other.name:
                self.say(
                    f"a checkpoint of this run by other sources, data or libraries is in {other}: it is left "
                    "there, and the run starts anew"
                )


def progress_mark(folder: Path, spec_id: str) -> tuple:
    """Something that changes with every checkpoint of a run: how far it has come, seen from outside."""
    files = (f / STATE for f in sorted(folder.glob(f"{spec_id}-*")))
    return tuple((f.stat().st_mtime_ns, f.stat().st_ino) for f in files if f.exists())


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


def _write(target: Path, content: Mapping[str, Any]) -> None:
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
    return torch.load(path, map_location="cpu", weights_only=True)
