"""Timing: a clock that waits for the devices."""

import time
from collections.abc import Iterable

import torch


def now(devices: Iterable[torch.device]) -> float:
    """Return the seconds of a monotonic clock after all devices have finished their queued work.

    Args:
        devices: every device that works on what is timed. For a sharded model, these are the devices of all
            parameters, because updates on the last ones may still run when the first one is idle.
    """
    for device in devices:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter()
