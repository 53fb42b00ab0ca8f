"""Timing: a clock that waits for the device."""

import time

import torch


def now(device: torch.device) -> float:
    """Return the seconds of a monotonic clock after the device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
