"""Logging to Weights & Biases: what is logged, and under which id; a failure of wandb never stops a run.

**One run of wandb per run.** `wandb sync` appends the rows of a file to those that the server has, and it
does not compare steps. If each process of a killed and resumed run logged its own steps, the steps between
the last checkpoint and the kill would appear twice, and those that had not reached the disk would be missing.
Therefore every process logs the complete run: a checkpoint contains all rows logged before it, and a process
that resumes logs them first. Offline, the new log replaces the old ones (`wandb_process`). Online, the run is
resumed, and rows that the server already has are not sent again; a repeated row has the same numbers, because
a resumed run repeats its steps bit for bit.

The run's id contains a random word, which the run's checkpoint folder keeps until the run is finished. So a
run that is repeated later, or whose code or data changed, is another run of wandb.
"""

import importlib.util
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.config import labels
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError, unknown
from benchmarks.sweep.wandb_client import WandbClient
from benchmarks.sweep.wandb_process import parts
from benchmarks.training.checkpoint import STATE

MODES = ("offline", "online", "disabled")
# The file in a run's checkpoint folder that keeps its name.
NAME = "wandb.json"
SETTINGS = {
    "reinit": "create_new",
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


def check_mode(mode: str | None, suite_default: str | None = None) -> str:
    """Return the wandb mode to use.

    Args:
        mode: the mode that the user requested. None means the suite's default; if the suite has no default,
            "offline" if wandb is installed and "disabled" if it is not.
        suite_default: the suite's default, if any.

    Raises:
        UserError: the mode is unknown, or needs wandb, which is not installed.
    """
    spec = importlib.util.find_spec("wandb")
    # wandb's output folder `wandb` in the working directory looks like a package without a file.
    installed = spec is not None and spec.origin is not None
    if mode is None:
        return suite_default or ("offline" if installed else "disabled")
    if mode not in MODES:
        raise unknown("wandb mode", mode, MODES)
    if mode != "disabled" and not installed:
        raise UserError(f"--wandb {mode} needs wandb: pip install -e '.[tracking]', or use --wandb disabled")
    return mode


class Tracker:
    """The connection of one worker process to wandb.

    The first failure of wandb turns tracking off for this process and prints one line on stderr.

    Args:
        mode: one of `MODES`, from `check_mode`.
        folder: the parent of wandb's output folder `wandb`.
    """

    def __init__(self, mode: str, folder: Path) -> None:
        self.mode, self.folder = mode, folder.absolute()
        self.enabled = mode != "disabled"
        self._client: WandbClient | None = None

    def begin(self, spec: RunSpec, suite: str, checkpoints: Path) -> "RunLog":
        """Return the log of a run.

        Args:
            spec, suite: the run.
            checkpoints: the folder of its checkpoint, which exists until the run is finished.
        """
        return RunLog(self, spec, suite, checkpoints)

    def send(self, *message: Any) -> None:
        """Send a message to wandb's process; an "end" is waited for.

        Raises:
            OSError, RuntimeError: wandb failed.
        """
        if self._client is None:
            self._client = WandbClient()
        self._client.send(*message)
        if message[0] == "end":
            self._client.wait()

    def give_up(self, error: Exception) -> None:
        """Turn tracking off, and say so."""
        self.enabled = False
        if self._client is not None:
            self._client.close()
        reason = str(error) if type(error) is RuntimeError else f"{type(error).__name__}: {error}"
        print(f"warning: wandb failed and is now disabled: {reason}", file=sys.stderr, flush=True)


class RunLog:
    """The log of one run, created by `Tracker.begin`; a run that logs nothing creates no wandb run.

    A run that restarts with a smaller batch gets a new wandb run, named `<id>-attempt2` and so on.
    """

    def __init__(self, tracker: Tracker, spec: RunSpec, suite: str, checkpoints: Path) -> None:
        self._tracker, self._spec, self._suite, self._checkpoints = tracker, spec, suite, checkpoints
        self._step: int | None = None
        self._word, self._attempt = "", 1

    @property
    def id(self) -> str:
        """The id of the wandb run."""
        start = re.sub(r"[^\w-]", "-", f"{self._suite[:64]}-{self._spec.id}-{self._word}")
        return start if self._attempt == 1 else f"{start}-attempt{self._attempt}"

    def log(self, step: int, **values: float | None) -> None:
        """Log the values of a step, except those that are None; a step may take several calls.

        Args:
            step: optimizer steps taken; a smaller number than before means that the run has restarted.
            values: values by name, such as "loss", or "validation/score" for an evaluation.
        """
        if not self._tracker.enabled:
            return
        try:
            if self._step is None:
                self._find_name()
                self._begin()
            elif step < self._step:
                self._tracker.send("end", {"status": "restarted"}, 1)
                self._attempt += 1
                self._begin()
            self._step = step
            self._tracker.send("log", step, {k: v for k, v in values.items() if v is not None})
        except (OSError, RuntimeError) as error:
            self._tracker.give_up(error)

    def finish(self, row: Mapping[str, Any]) -> None:
        """End the wandb run and copy every scalar of the result row to its summary.

        A nested scalar is named "field/name".
        """
        if self._step is None or not self._tracker.enabled:
            return
        try:
            self._tracker.send("end", _scalars(row), int(row.get("status") != "done"))
        except (OSError, RuntimeError) as error:
            self._tracker.give_up(error)

    def _find_name(self) -> None:
        """Continue the wandb run of an earlier process, or choose a new name."""
        try:
            saved = json.loads((self._checkpoints / NAME).read_text())
            self._word, attempt = saved["word"], saved["attempt"]
            # Without a checkpoint, the run starts over, with its first batch sizes.
            self._attempt = attempt if (self._checkpoints / STATE).exists() else 1
            # What is synced later would be appended to what the server already has.
            is_known = saved["mode"] == "online" or any(
                [*part.glob("*.synced")] for part in parts(self._tracker.folder, self.id)
            )
            if not is_known or self._tracker.mode == "online":
                return
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            self._attempt = 1
        self._word = secrets.token_hex(4)

    def _begin(self) -> None:
        spec, suite = self._spec, self._suite
        self._save_name()
        model = Path(spec.model).name if Path(spec.model).is_dir() else spec.model
        task = registry.stem(spec.task)
        tags = (suite, model, task, labels.label(spec))
        arguments = {
            "id": self.id,
            "project": os.environ.get("WANDB_PROJECT", "addax"),
            # wandb limits the lengths of names, groups, and tags.
            "name": f"{labels.label(spec)} {task} {model} seed {spec.seed}"[:128],
            "group": "/".join(tags)[:128],
            "job_type": spec.method,
            "tags": [tag[:64] for tag in tags],
            "config": spec.config() | {"id": spec.id, "suite": suite, "label": labels.label(spec)},
        }
        mode = self._tracker.mode
        # Offline, wandb ignores `resume` with a warning.
        changing = {"mode": mode, "root_dir": str(self._tracker.folder)}
        changing |= {"resume": "allow"} if mode == "online" else {}
        self._tracker.send("begin", arguments, SETTINGS | changing)

    def _save_name(self) -> None:
        saved = {"word": self._word, "attempt": self._attempt, "mode": self._tracker.mode}
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        new = self._checkpoints / f".{NAME}.part"
        new.write_text(json.dumps(saved))
        new.replace(self._checkpoints / NAME)


def _scalars(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    scalars: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and name != "config":
            scalars |= _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, str)):
            scalars[prefix + name] = value
    return scalars
