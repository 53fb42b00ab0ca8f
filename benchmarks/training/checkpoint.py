"""Checkpoints of a run: its last state and its best weights, each written atomically.

    results/runs/<suite>/checkpoints/<spec id>-<identity>/last.pt, best-<step>.pt

`last.pt` holds everything that the next step depends on, and the name of the file with the best weights. Its
weights are None if they are the best ones. New best weights are written before `last.pt`, and the old ones
are removed afterward, so a kill at any moment leaves a complete pair.

With W bytes of weights and S bytes of optimizer state, a checkpoint takes at most 2 W + S bytes on disk, and
3 W + 2 S while it is replaced.

The identity is a hash of the data, the sources, and the libraries, which affect the numbers in addition to
the spec. A checkpoint with another identity is never resumed, overwritten, or removed.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.training import archive
from benchmarks.training.pace import Pace

STATE, BEST = "last.pt", "best-{}.pt"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: folder for all checkpoints of the suite.
        spec_id: the run's id.
        identity: plain values that must be equal for a run to continue bit for bit.
        say: called with a one-line message for the user.
        minutes: minutes between checkpoints, in addition to those after evaluations.

    Attributes:
        pace: decides when a checkpoint is due.
        seconds: time spent writing checkpoints, in all processes that worked on the run.
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
        self.spec_id, self.say, self.pace = spec_id, say, Pace(minutes)
        self.seconds, self._failed = 0.0, False
        self._found: dict[str, Any] | None = None

    def open(self) -> int:
        """Read the last checkpoint, for `take`; return its number of steps, or 0 if there is none.

        A checkpoint that cannot be read is set aside, and the user gets a message.
        """
        for other in sorted(self.folder.parent.glob(f"{self.spec_id}-*")):
            if other != self.folder and "." not in other.name and (other / STATE).exists():
                self.say(
                    f"ignoring checkpoint {other} (written by different code, data, or library versions): "
                    "starting from scratch"
                )
        try:
            self._found = self._load()
            return len(self._found["counters"]["step_seconds"]) if self._found else 0
        # A damaged file can raise any exception, depending on which code reads the damaged part.
        except Exception as error:
            self.refuse(error)
            return 0

    def take(self) -> dict[str, Any] | None:
        """Return the state that `open` read, once, with the best weights as "best".

        Its tensors are mapped from the files; see `archive.read`.
        """
        state, self._found = self._found, None
        return state

    def refuse(self, error: Exception) -> None:
        """Set aside a checkpoint that cannot be resumed, and report the reason."""
        renamed = set_aside(self.folder)
        self.seconds, self._found = 0.0, None
        self.say(
            f"cannot resume from checkpoint {self.folder} ({_reason(error)}): set aside as {renamed.name}, "
            "starting from scratch"
        )

    def _load(self) -> dict[str, Any] | None:
        archive.remove_parts(self.folder)
        last, name = self.folder / STATE, None
        state = archive.read(last) if last.exists() else None
        if state is not None:
            name, self.seconds = state["best"], state["seconds"]
            state["best"] = None if name is None else archive.read(self.folder / name)
        self._remove_best_weights_except(name)
        return state

    def save(
        self, state: Mapping[str, Any], best: Mapping[str, Any] | None = None, best_step: int | None = None
    ) -> None:
        """Replace the checkpoint. If this fails, report it once and continue the run.

        Args:
            state: tensors, numbers, text, and lists and dicts of them.
            best: the best weights so far, or None.
            best_step: their step, which names their file. If the file exists, it is not written again.
        """
        began = time.perf_counter()
        name = None if best is None else BEST.format(best_step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if name is not None and not (self.folder / name).exists():
                archive.write(self.folder / name, best)
            archive.write(self.folder / STATE, {**state, "best": name, "seconds": self.seconds})
            self._remove_best_weights_except(name)
        except (OSError, RuntimeError, MemoryError) as error:
            if not self._failed:
                self.say(f"cannot write a checkpoint to {self.folder} ({_reason(error)}): the run continues")
            self._failed = True
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self.pace.saved(seconds)

    def _remove_best_weights_except(self, name: str | None) -> None:
        for file in self.folder.glob(BEST.format("*")):
            if file.name != name:
                file.unlink()

    def drop(self) -> None:
        """Remove the checkpoint, because the run starts over or is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def progress_mark(folder: Path, spec_id: str) -> tuple:
    """Return a value that changes with every checkpoint of a run, for a process that watches it."""
    marks = []
    for file in sorted(folder.glob(f"{spec_id}-*/{STATE}")):
        try:
            stat = file.stat()
        except FileNotFoundError:
            # The run has just finished and removed its checkpoint.
            continue
        marks.append((stat.st_mtime_ns, stat.st_ino))
    return tuple(marks)


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder to `<name>.damaged-<k>`; return the new path.

    Raises:
        UserError: it cannot be renamed.
    """
    k = 1
    while (target := path.with_name(f"{path.name}.damaged-{k}")).exists():
        k += 1
    try:
        path.rename(target)
    except OSError as error:
        raise UserError(f"{path} is damaged and cannot be renamed: {error.strerror}") from None
    return target


def _reason(error: BaseException) -> str:
    """Return an error's message, shortened to a few words on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    # If a file cannot grow, the message of torch's archive writer names inline_container.
    return "is the disk full?" if "inline_container" in line else line[:80]
