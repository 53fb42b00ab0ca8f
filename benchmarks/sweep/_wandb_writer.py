"""The process that tells wandb what a worker's runs send: JSON lines in, run folders or uploads out.

Started by `benchmarks.sweep.tracking` as `_wandb_writer.py MODE FOLDER PARENT`, by its path: it imports the
standard library and wandb alone. It ends with its input, and soon after its parent. Nothing it does reaches
the terminal but one line on the first failure.
"""

import json
import os
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO

# Uploads that may go on while the next runs are logged.
FINISHING = 4
# Seconds for what is left to be written when the parent has ended without a word.
GRACE = 30.0
# Exit code: there is nothing to be done, as the one line has said.
TOLD = 3


class Writer:
    """Runs by the keys that the parent gave them.

    Args:
        mode: "offline" or "online".
        folder: of wandb; made if it is not there.
        said: where the first failure goes.
    """

    def __init__(self, mode: str, folder: Path, said: TextIO) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            # wandb would go and write to a temporary folder.
            raise PermissionError(f"cannot write to {folder}")
        import wandb

        self.wandb = wandb
        self.mode, self.folder, self.said = mode, folder, said
        self.runs: dict[int, Any] = {}
        self.threads = ThreadPoolExecutor(FINISHING)
        self.ending: dict[str, Future] = {}
        self.free = threading.BoundedSemaphore(FINISHING)

    def take(self, message: dict[str, Any]) -> None:
        """One message; a run that wandb fails on is heard no more."""
        key, what = message["run"], message["what"]
        try:
            if what == "begin":
                self.runs[key] = self.begin(**message["identity"], resumed_step=message["resumed_step"])
            elif key in self.runs and what == "log":
                row = {**message["values"], "_timestamp": message["time"]}
                self.runs[key].log(row, step=message["step"])
            elif key in self.runs:
                self.finish(self.runs.pop(key), message["summary"], message["failed"])
        except Exception as error:
            self.runs.pop(key, None)
            self.say(error)

    def begin(self, *, id: str, resumed_step: int, **identity: Any) -> Any:
        """A run, without anything wandb would do on the side."""
        settings = self.wandb.Settings(
            mode=self.mode,
            root_dir=str(self.folder.parent),
            # Several runs are open at once where a run's last words are still being written.
            reinit="create_new",
            # Without it, an earlier attempt under the same id is replaced.
            resume="allow" if resumed_step and self.mode == "online" else None,
            # At this priority wandb's own process may take long to start, and nobody waits here.
            x_service_wait=300,
            console="off",
            silent=True,
            disable_code=True,
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            label_disable=True,
            symlink=False,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        # An earlier attempt under the same id may still be ending.
        wait([self.ending.pop(id)] if id in self.ending else [])
        project = os.environ.get("WANDB_PROJECT", "addax")
        run = self.wandb.init(id=id, project=project, settings=settings, **identity)
        for child in children("self"):
            take_share(child, 19)
        if resumed_step:
            run.log({"resumed_step": resumed_step}, step=resumed_step)
        return run

    def finish(self, run: Any, summary: dict[str, Any], failed: bool) -> None:
        """Ends a run in a thread, which online takes as long as its upload."""
        # The last row first: its values must not stand where the result row's belong.
        run.log({}, commit=True)
        if summary:
            run.summary.update(summary)
        self.free.acquire()
        self.ending = {id: ending for id, ending in self.ending.items() if not ending.done()}

        def end() -> None:
            try:
                run.finish(exit_code=int(failed))
            except Exception as error:
                self.say(error)
            finally:
                self.free.release()

        self.ending[run.id] = self.threads.submit(end)

    def end(self) -> None:
        """Ends what the parent left unfinished, and waits for all that is being finished."""
        for run in self.runs.values():
            self.finish(run, {}, failed=True)
        self.threads.shutdown()

    def say(self, error: BaseException) -> None:
        """The one line on stderr."""
        said, self.said = self.said, None
        if said is not None:
            print_failure(said, error)


def print_failure(said: TextIO, error: BaseException) -> None:
    """One line, however long the message."""
    first = (str(error).strip().splitlines() or [""])[0]
    print(f"warning: runs go on without wandb: {type(error).__name__}: {first}", file=said, flush=True)


def end_after(parent: int) -> None:
    """wandb may hang, and the end of the input then goes unseen."""
    while os.getppid() == parent:
        time.sleep(0.5)
    time.sleep(GRACE)
    os._exit(1)


def take_share(process: int | str, nice: int) -> None:
    """Sets a session's share of the cores, where the kernel gives each session an equal one.

    A process's own priority counts within its session only (`man 7 sched`, autogroups).

    Args:
        process: a process of the session; "self" for this one.
        nice: 19 for the least share, 0 for an equal one.
    """
    for _ in range(3):
        try:
            Path(f"/proc/{process}/autogroup").write_text(str(nice))
            return
        except BlockingIOError:
            # Ten times a second, for all that is not root.
            time.sleep(0.1)
        except OSError:
            return


def children(process: int | str) -> list[str]:
    """Processes that a process has started, where the system says so."""
    try:
        lists = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [pid for text in lists for pid in text.split()]


def main(mode: str, folder: str, parent: str) -> int:
    """Reads until the input ends."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        # Also what wandb starts: it runs where nothing else wants to.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    take_share("self", 19)
    # wandb's own process inherits descriptors 0 to 2.
    messages, said = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(2), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    threading.Thread(target=end_after, args=(int(parent),), daemon=True).start()
    # Reports about wandb itself are uploads too, which offline nobody asked for.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        writer = Writer(mode, Path(folder), said)
    except Exception as error:
        print_failure(said, error)
        return TOLD
    for line in messages:
        if line.endswith(b"\n"):
            writer.take(json.loads(line))
    writer.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
