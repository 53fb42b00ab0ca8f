"""The pace of checkpoints: an early first one, and a bound on the share of time that they take."""

import time

# Seconds of steps before the first checkpoint of a process.
FIRST = 60.0
# Share of the time that checkpoints may take.
SHARE = 0.04


class Pace:
    """Decides when a checkpoint is due.

    The first one is due after `FIRST` seconds of steps, or after the first evaluation. A checkpoint that took
    c seconds is followed by c / `share` seconds without one, and by `minutes` unless an evaluation comes
    first. So all checkpoints of a process but its last take at most `share` of its time. A kill loses at most
    the larger of c / `share` and `minutes`, one step, and the checkpoint under way.

    For example, the weights of OPT-13B in bfloat16 are 25.7 GB. On a disk that writes 2 GB/s, c is 13 s. The
    first checkpoint begins after 1 minute of steps, and the next one 10 minutes after its end. At 0.2 GB/s, c
    is 129 s, and the next one begins 129 s / 0.04 = 54 minutes after the end of the first.

    Args:
        minutes: minutes between checkpoints, in addition to those after evaluations.
        share: share of the time that checkpoints may take.
    """

    def __init__(self, minutes: float, share: float = SHARE) -> None:
        self.minutes, self.share = minutes, share
        self._began: float | None = None
        self._saved: tuple[float, float] | None = None

    def due(self, *, after_evaluation: bool = False) -> bool:
        """Return whether a checkpoint is due now, after a step or after an evaluation."""
        clock = time.monotonic()
        if self._saved is None:
            # Loading the model may take long, but leaves nothing to save.
            self._began = clock if self._began is None else self._began
            return after_evaluation or clock - self._began >= min(FIRST, 60 * self.minutes)
        ended, seconds = self._saved
        wait = seconds / self.share
        return clock - ended >= (wait if after_evaluation else max(wait, 60 * self.minutes))

    def saved(self, seconds: float) -> None:
        """Note that a checkpoint has just been written, and how long it took."""
        self._saved = (time.monotonic(), seconds)
