"""Logging to Weights & Biases through its background service; a failure of wandb never stops a run."""

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
# Seconds that a run waits for wandb to start, and at its end for outstanding uploads.
INIT_TIMEOUT, FINISH_TIMEOUT = 30, 60


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

    def begin(self, spec: RunSpec, suite: str, resumed_step: int = 0) -> "RunLog":
        """Start the log of a run, or continue it after `resumed_step` steps of an earlier process."""
        return RunLog(self, spec, suite, resumed_step)

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Return the result of `action`, or None if tracking is off or `action` fails."""
        if not self.enabled:
            return None
        try:
            return action()
        except Exception as error:
            self.enabled = False
            line = next(iter(str(error).strip().splitlines()), "")
            print(
                f"warning: wandb failed and is now disabled: {type(error).__name__}: {line}",
                file=sys.stderr,
                flush=True,
            )
            return None


class RunLog:
    """The log of one run, created by `Tracker.begin`; a run that logs nothing creates no wandb run.

    A run that restarts with a smaller batch gets a new wandb run, `<id>-2` and so on. A process that resumes
    it finds the number in the names of wandb's folders.
    """

    def __init__(self, tracker: Tracker, spec: RunSpec, suite: str, resumed_step: int) -> None:
        self._tracker, self._spec, self._suite = tracker, spec, suite
        self._id = re.sub(r"[^\w-]", "-", f"{suite}-{spec.id}")
        self._attempt, self._step, self._run = 1, resumed_step, None
        self._started, self._resumes = False, resumed_step > 0
        if resumed_step and tracker.enabled:
            folders = (tracker.folder / "wandb").glob(f"*run-*-{self._id}-*")
            numbers = [path.name.rpartition(f"{self._id}-")[2] for path in folders]
            self._attempt = max([1, *(int(number) for number in numbers if number.isdecimal())])

    def log(self, step: int, **values: float | None) -> None:
        """Log the values of a step, except those that are None; a step may take several calls.

        Args:
            step: optimizer steps taken; a smaller number than before means that the run has restarted.
            values: values by name, such as "loss", or "validation/score" for an evaluation.
        """
        if step < self._step:
            self._end({"status": "restarted"}, exit_code=1)
            self._attempt += 1
            self._started, self._resumes = False, False
        if not self._started:
            self._started = True
            self._run = self._tracker.attempt(lambda: self._init(self._resumes))
        self._step = step
        values = {name: value for name, value in values.items() if value is not None}
        if values and self._run is not None:
            self._tracker.attempt(lambda: self._run.log(values, step=step))

    def finish(self, row: Mapping[str, Any]) -> None:
        """End the wandb run and copy every scalar of the result row to its summary.

        A nested scalar is named "field/name".
        """
        self._end(_scalars(row), exit_code=int(row.get("status") != "done"))

    def _end(self, summary: Mapping[str, Any], exit_code: int) -> None:
        run, self._run = self._run, None

        def end() -> None:
            # Otherwise wandb would commit the last step in `finish` and overwrite the summary.
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
                # Offline, wandb ignores `resume` with a warning. Online, None replaces an earlier run with
                # this id.
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
    scalars: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and name != "config":
            scalars |= _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, str)):
            scalars[prefix + name] = value
    return scalars
