"""The connection from a process that trains to the process that calls wandb.

No call of wandb, no thread of wandb, and no wait for wandb happens in the process that trains, so tracking
neither disturbs the timing of steps nor delays them. Its only wait is `wait`, at the end of a run.
"""

import contextlib
import os
import subprocess
import sys
import time
from multiprocessing import Pipe
from queue import SimpleQueue
from threading import Thread
from typing import Any

from benchmarks import registry
from benchmarks.sweep.wandb_process import FINISH_TIMEOUT, INIT_TIMEOUT

# Seconds without an answer after which the process is given up. wandb itself gives up earlier.
SILENCE = INIT_TIMEOUT + FINISH_TIMEOUT


class WandbClient:
    """The process that calls wandb, see `benchmarks.sweep.wandb_process`; it ends with this process."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        path = os.pathsep.join(filter(None, (str(registry.ROOT), os.environ.get("PYTHONPATH"))))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "benchmarks.sweep.wandb_process", str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": path},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._sent, self._handled, self._heard_at = 0, 0, 0.0
        self._queue: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        # Sending would block while the process is busy, for example with the import of wandb.
        Thread(target=self._send_queued, daemon=True).start()

    def send(self, *message: Any) -> None:
        """Queue a message, and raise the error of an earlier one.

        Raises:
            RuntimeError: wandb failed.
            TimeoutError: wandb has not answered for `SILENCE` seconds.
        """
        if self._sent == self._handled:
            self._heard_at = time.monotonic()
        self._sent += 1
        self._queue.put(message)
        self._receive(0)

    def wait(self) -> None:
        """Wait until all messages are handled; raises the same errors as `send`."""
        while self._handled < self._sent:
            self._receive(max(0.0, self._heard_at + SILENCE - time.monotonic()))

    def close(self) -> None:
        """End the process immediately."""
        self._process.kill()
        self._process.wait()

    def _receive(self, timeout: float) -> None:
        try:
            while self._connection.poll(timeout):
                answer, timeout = self._connection.recv(), 0
                if isinstance(answer, str):
                    raise RuntimeError(answer)
                self._handled, self._heard_at = answer, time.monotonic()
        except (EOFError, ConnectionError):
            raise RuntimeError("its process ended") from None
        if self._handled < self._sent and time.monotonic() - self._heard_at >= SILENCE:
            raise TimeoutError(f"no answer for {SILENCE:g} seconds")

    def _send_queued(self) -> None:
        # `_receive` reports a closed connection.
        with contextlib.suppress(OSError):
            while True:
                self._connection.send(self._queue.get())
