"""Devices of a run: which ones it uses, and their names."""

import os
import platform
from collections import Counter
from collections.abc import Iterable
from functools import cache

import torch


def devices_of(name: str) -> list[torch.device]:
    """Return the devices that a run may use, without initializing CUDA for a run on the CPU.

    Args:
        name: the device of a spec: "cpu", "cuda", "cuda:1", or "auto" (all GPUs; the CPU without a GPU).
    """
    if name != "auto":
        return [torch.device(name)]
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.device("cuda", index) for index in range(gpus)] or [torch.device("cpu")]


def gpus_of(devices: Iterable[torch.device]) -> list[torch.device]:
    """Return the GPUs among devices, each one once, in the order of their numbers."""
    return sorted({device for device in devices if device.type == "cuda"}, key=lambda d: d.index or 0)


def hardware_of(devices: Iterable[torch.device]) -> str | None:
    """Return the name of the hardware that works on a run.

    Args:
        devices: the run's devices. GPUs take precedence: "NVIDIA H200", "2 x NVIDIA H200".

    Returns:
        The name of each kind of GPU, with the number of cards above 1; without a GPU, that of the CPU. None
        for GPUs that this process has not used: asking for their names would start CUDA, and the process may
        not even see them (a sweep that records the death of a worker).
    """
    gpus = gpus_of(devices)
    if not gpus:
        return _processor()
    if not torch.cuda.is_initialized():
        return None
    cards = Counter(map(_card, gpus))
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in cards.items())


# After some errors a GPU answers no more questions, so its name is kept.
@cache
def _card(gpu: torch.device) -> str:
    return torch.cuda.get_device_name(gpu)


def _processor() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"
