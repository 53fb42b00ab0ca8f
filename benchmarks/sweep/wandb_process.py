"""The process that calls wandb for a process that trains; `benchmarks.sweep.wandb_client` starts it.

It reads tuples from a connection and answers with the number of tuples handled so far, or with the text of
the error that ends it:

    ("begin", arguments of wandb.init, settings)   start a run
    ("log", step, values)                          log values of a step, which may take several tuples
    ("end", summary, exit code)                    finish the run

wandb's own background process loses what it has not written when the process that called `wandb.init` is
killed. This process survives the process that trains: when the connection closes, it finishes the open run.
"""

import contextlib
import os
import shutil
import signal
import struct
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Seconds that wandb may take to start a run, to upload its last data, and to write its last records before
# its background process is stopped.
INIT_TIMEOUT, FINISH_TIMEOUT, WRITE_TIMEOUT = 30, 60, 2
# Seconds between writes of the log file, and between answers while many tuples are waiting.
FLUSH_INTERVAL, ANSWER_INTERVAL = 1.0, 1.0
# Layout of a .wandb file, which is a LevelDB log: blocks of chunks; a chunk is a CRC (4 bytes), a length, a
# kind, and data. The first block begins with 7 bytes of wandb's own.
BLOCK, FILE_HEADER, CHUNK_HEADER, CHUNK = 32768, 7, 7, struct.Struct("<4xHB")
FULL, FIRST, LAST = 1, 2, 4


class OpenRun:
    """A run of wandb from `wandb.init` to `finish`, whose log replaces earlier logs with the same id.

    Args:
        arguments: arguments of `wandb.init`, with an id.
        settings: values of `wandb.Settings`, with a mode and a root folder.
    """

    def __init__(self, arguments: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        folder = Path(settings["root_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            # wandb would write to a temporary folder instead.
            raise PermissionError(f"cannot write to {folder}")
        import wandb

        self._replaced = parts(folder, arguments["id"])
        self._is_offline = settings["mode"] == "offline"
        flush = {"x_transaction_log_flush_interval": FLUSH_INTERVAL}
        timeouts = {"init_timeout": INIT_TIMEOUT, "finish_timeout": FINISH_TIMEOUT}
        timeouts |= {"finish_timeout_raises": True}
        self._run = wandb.init(**arguments, settings=wandb.Settings(**settings, **flush, **timeouts))
        self._file = Path(self._run.sync_dir, f"run-{arguments['id']}.wandb")
        self._step, self._values = 0, {}

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Add values to the row of a step. A row is complete when the next one begins."""
        if step != self._step:
            self._write_row()
        self._step = step
        self._values.update(values)

    def end(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Finish the run.

        Raises:
            OSError: the log of an offline run is incomplete.
        """
        self._write_row()
        self._run.summary.update(summary)
        self._finish(exit_code)

    def abandon(self) -> None:
        """Finish a run whose training was killed. If it resumes, it is logged again."""
        # Online, a row cannot be replaced, and this one may lack its evaluation.
        if self._is_offline:
            self._write_row()
        self._finish(exit_code=1)

    def _write_row(self) -> None:
        # The server has the rows before `starting_step` from an earlier process.
        if self._values and self._step >= self._run.starting_step:
            self._run.log(self._values, step=self._step, commit=True)
        self._values = {}
        # The new log repeats the rows of the old ones. Keep these until it is as long as they are.
        for part in [part for part in self._replaced if _size(part) <= self._file.stat().st_size]:
            self._replaced.remove(part)
            shutil.rmtree(part, ignore_errors=True)

    def _finish(self, exit_code: int) -> None:
        self._run.finish(exit_code=exit_code)
        if self._is_offline:
            self._check_complete()
        for part in self._replaced:
            shutil.rmtree(part, ignore_errors=True)

    def _check_complete(self) -> None:
        import wandb

        # `finish` may return before the log is written.
        deadline = time.monotonic() + WRITE_TIMEOUT
        while not is_complete(self._file) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not is_complete(self._file):
            # This waits for wandb's background process, which does not report that it could not write.
            wandb.teardown()
            if not is_complete(self._file):
                raise OSError(f"{self._file} is incomplete; is the disk full?")


def parts(folder: Path, run_id: str) -> list[Path]:
    """Return the folders of all logs of a run, one for each process that worked on it."""
    return sorted(folder.glob(f"wandb/*run-*-{run_id}"))


def _size(part: Path) -> int:
    return sum(file.stat().st_size for file in part.glob("*.wandb"))


def is_complete(file: Path) -> bool:
    """Return whether the last records of a .wandb file contain the one that ends the run."""
    from wandb.proto.wandb_internal_pb2 import Record

    with file.open("rb") as opened:
        # A block begins with a whole chunk, and the last records are much shorter than a block.
        start = max(0, (file.stat().st_size // BLOCK - 1) * BLOCK)
        opened.seek(start)
        content = opened.read()
    position, record = (0 if start else FILE_HEADER), b""
    while position + CHUNK_HEADER <= len(content):
        if BLOCK - position % BLOCK < CHUNK_HEADER:
            # A header does not fit into the rest of this block.
            position += BLOCK - position % BLOCK
            continue
        length, kind = CHUNK.unpack_from(content, position)
        position += CHUNK_HEADER + length
        data = content[position - length : position]
        record = data if kind in (FULL, FIRST) else record + data
        if kind in (FULL, LAST) and position <= len(content):
            # The first chunk may continue a record of an earlier block.
            with contextlib.suppress(Exception):
                if Record.FromString(record).HasField("exit"):
                    return True
    return False


def serve(connection: Connection) -> None:
    """Handle tuples until the connection closes or wandb fails."""
    run, handled, answered = None, 0, 0.0
    try:
        while True:
            try:
                kind, *values = connection.recv()
            except (EOFError, OSError):
                # A process that is killed may leave a part of a tuple.
                break
            if kind == "begin":
                run = OpenRun(*values)
            elif kind == "log":
                run.log(*values)
            else:
                ended, run = run, None
                ended.end(*values)
            handled += 1
            if time.monotonic() - answered >= ANSWER_INTERVAL or not connection.poll():
                answered = time.monotonic()
                _answer(connection, handled)
        # Nobody waits for this process any more, so it must not stay.
        signal.alarm(INIT_TIMEOUT + FINISH_TIMEOUT)
        if run is not None:
            run.abandon()
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")
        _answer(connection, f"{type(error).__name__}: {line}")
        signal.alarm(INIT_TIMEOUT + FINISH_TIMEOUT)


def _answer(connection: Connection, answer: int | str) -> None:
    # The process that trains may have ended; its last tuples can still be read.
    with contextlib.suppress(OSError):
        connection.send(answer)


if __name__ == "__main__":
    # A signal to all processes of a job must not stop this one before the process that trains.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
