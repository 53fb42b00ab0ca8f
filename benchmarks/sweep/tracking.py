"""Log runs to Weights & Biases through its own background service; no failure of wandb reaches a run."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.config import labels
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError, unknown

MODES = ("offline", "online", "disabled")
# Seconds that a run waits for wandb: to begin, and at its end for what is still to be uploaded.
INIT_TIMEOUT, FINISH_TIMEOUT = 30, 60


def check_mode(mode: str | None, suite_default: str | None = None) -> str:
    """Return the mode to use; None means the suite's, or else "offline" where wandb is installed.

    Raises:
        UserError: an unknown mode, or one that needs wandb where it is not installed.
    """
    found = importlib.util.find_spec("wandb")
    # A folder of runs named wandb in the working directory is found too, as a package without a file.
    installed = found is not None and found.origin is not None
    if mode is None:
        return suite_default or ("offline" if installed else "disabled")
    if mode not in MODES:
        raise unknown("wandb mode", mode, MODES)
    if mode != "disabled" and not installed:
        raise UserError(f"--wandb {mode} needs wandb: pip install -e '.[tracking]', or give --wandb disabled")
    return mode


class Tracker:
    """The runs of one worker process; turns itself off, with one line on stderr, when wandb first fails.

    Args:
        mode: one of `MODES`, from `check_mode`.
        folder: the folder that gets wandb's folder `wandb`.
    """

    def __init__(self, mode: str, folder: Path) -> None:
        self.mode, self.folder = mode, folder.absolute()
        self.enabled = mode != "disabled"

    def begin(self, spec: RunSpec, suite: str, resumed_step: int = 0) -> "RunLog":
        """Begin to log a run, or continue it after `resumed_step` steps of an earlier process."""
        return RunLog(self, spec, suite, resumed_step)

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Return what `action` returns; None if wandb is off or fails in it."""
        if not self.enabled:
            return None
        try:
            return action()
        except Exception as error:
            self.enabled = False
            line = next(iter(str(error).strip().splitlines()), "")
            print(
                f"warning: wandb is off from here on: {type(error).__name__}: {line}",
                file=sys.stderr,
                flush=True,
            )
            return None


class RunLog:
    """The log of one run; made by `Tracker.begin`. A run that logs nothing leaves nothing behind.

    A run that restarts with a smaller batch gets another wandb run, `<id>-2` and so on, which a resumed
    process finds by its folder.
    """

    def __init__(self, tracker: Tracker, spec: RunSpec, suite: str, resumed_step: int) -> None:
        self._tracker, self._spec, self._suite = tracker, spec, suite
        self._id = re.sub(r"[^\w-]", "-", f"{suite}-{spec.id}")
        self._attempt, self._step, self._run = 1, resumed_step, None
        self._begun, self._resumes = False, resumed_step > 0
        if resumed_step and tracker.enabled:
            folders = (tracker.folder / "wandb").glob(f"*run-*-{self._id}-*")
            numbers = [path.name.rpartition(f"{self._id}-")[2] for path in folders]
            self._attempt = max([1, *(int(number) for number in numbers if number.isdecimal())])

    def log(self, step: int, **values: float | None) -> None:
        """Log named values; None is left out. Values of one step may come in several calls.

        Args:
            step: optimizer steps taken; a smaller one than before means that the run has restarted.
            values: as "loss", or "validation/score" of an evaluation.
        """
        if step < self._step:
            self._end({"status": "restarted"}, exit_code=1)
            self._attempt += 1
            self._begun, self._resumes = False, False
        if not self._begun:
            self._begun = True
            self._run = self._tracker.attempt(lambda: self._init(self._resumes))
        self._step = step
        values = {name: value for name, value in values.items() if value is not None}
        if values and self._run is not None:
            self._tracker.attempt(lambda: self._run.log(values, step=step))

    def finish(self, row: Mapping[str, Any]) -> None:
        """End the run; its summary gets every scalar of the result row, a nested one as "field/name"."""
        self._end(_scalars(row), exit_code=int(row.get("status") != "done"))

    def _end(self, summary: Mapping[str, Any], exit_code: int) -> None:
        run, self._run = self._run, None

        def end() -> None:
            # wandb commits the last step when the run ends, which would overwrite the summary.
            run.log({}, commit=True)
            run.summary.update(summary)
            run.finish(exit_code=exit_code)

        if run is not None:
            self._tracker.attempt(end)

    def _init(self, resume: bool) -> Any:
        import wandb

        spec, suite, folder = self._spec, self._suite, self._tracker.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            # wandb would write to a temporary folder instead.
            raise PermissionError(f"cannot write to {folder}")
        model = Path(spec.model).name if Path(spec.model).is_dir() else spec.model
        parts = (suite, model, spec.task, labels.label(spec))
        return wandb.init(
            id=self._id if self._attempt == 1 else f"{self._id}-{self._attempt}",
            project=os.environ.get("WANDB_PROJECT", "addax"),
            # wandb limits the lengths of names, groups, and tags.
            name=f"{labels.label(spec)} {spec.task} {model} seed {spec.seed}"[:128],
            group="/".join(parts)[:128],
            job_type=spec.method,
            tags=[part[:64] for part in parts],
            config=spec.config() | {"id": spec.id, "suite": suite, "label": labels.label(spec)},
            settings=wandb.Settings(
                mode=self._tracker.mode,
                root_dir=str(folder),
                # Offline, wandb ignores it with a warning. Online, None replaces an earlier run of this id.
                resume="allow" if resume and self._tracker.mode == "online" else None,
                reinit="create_new",
                init_timeout=INIT_TIMEOUT,
                finish_timeout=FINISH_TIMEOUT,
                console="off",
                silent=True,
                disable_code=True,
                disable_git=True,
                symlink=False,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )


def _scalars(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and name != "config":
            found |= _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, str)):
            found[prefix + name] = value
    return found
