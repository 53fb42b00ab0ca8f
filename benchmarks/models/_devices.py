"""The devices of models: the choice of one, and what a CUDA device needs before a model is loaded to it."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from benchmarks.errors import UserError
from benchmarks.process import VISIBLE

# The kernel module of NVIDIA's driver describes itself in this file.
DRIVER = Path("/proc/driver/nvidia/version")
# Major version of CUDA -> the oldest driver that runs it (table 2 of NVIDIA's CUDA release notes).
OLDEST_DRIVER = {"12": 525, "13": 580}
# The first compute capability with bfloat16 arithmetic (Ampere).
BFLOAT16_CAPABILITY = (8, 0)


def device_of(device: str | None) -> str:
    """Return the device for `--device`; print a line if a GPU exists that the default cannot use.

    Args:
        device: "cpu", "cuda", "cuda:N", or "auto"; None for cuda if torch finds a GPU, otherwise cpu.

    Raises:
        UserError: the name is not a valid device, or torch finds no such GPU.
    """
    if device is None:
        if torch.cuda.is_available():
            return "cuda"
        if not _hidden() and (problem := gpu_problem()) is not None:
            print(f"running on the CPU: {problem}", file=sys.stderr, flush=True)
        return "cpu"
    if device in ("cpu", "auto"):
        return device
    match = re.fullmatch(r"cuda(?::(\d+))?", device)
    if match is None:
        raise UserError(f"--device {device}: must be cpu, cuda, cuda:N, or auto")
    if not torch.cuda.is_available():
        hidden = f"CUDA_VISIBLE_DEVICES={os.environ.get(VISIBLE)} hides every GPU" if _hidden() else None
        problem = hidden or gpu_problem() or "torch finds no GPU on this machine"
        raise UserError(f"--device {device}: {problem}; use --device cpu")
    count = torch.cuda.device_count()
    if match[1] is not None and int(match[1]) >= count:
        last = "cuda:0 is the only one" if count == 1 else f"the last one is cuda:{count - 1}"
        raise UserError(f"--device {device}: torch finds no such GPU; {last}")
    return device


def _hidden() -> bool:
    """Return whether the user hides every GPU from this process."""
    return os.environ.get(VISIBLE) in ("", "-1")


def gpu_problem() -> str | None:
    """Return why torch cannot use this machine's NVIDIA GPU; None without an NVIDIA driver.

    Call this only if `torch.cuda.is_available()` is false.
    """
    try:
        text = DRIVER.read_text()
    except OSError:
        return None
    found = re.search(r"\b(\d{3,})\.\d+(?:\.\d+)?\b", text)
    driver = found[0] if found else "of unknown version"
    if torch.version.cuda is None:
        return (
            f"NVIDIA driver {driver} is installed, but torch {torch.__version__} is built without CUDA; "
            "install a CUDA build (https://pytorch.org/get-started/locally)"
        )
    major = torch.version.cuda.partition(".")[0]
    oldest = OLDEST_DRIVER.get(major)
    if found is None or oldest is None or int(found[1]) >= oldest:
        return (
            f"torch finds no GPU, although NVIDIA driver {driver} is installed; "
            "check CUDA_VISIBLE_DEVICES and nvidia-smi"
        )
    # Without the local version, pip would keep the installed build.
    build = f"torch=={torch.__version__.partition('+')[0]}+cu126"
    return (
        f"NVIDIA driver {driver} is too old for torch {torch.__version__}, whose CUDA {torch.version.cuda} "
        f"needs driver {oldest} or newer; update the driver, or install a build for CUDA 12 with "
        f"pip install {build} --index-url https://download.pytorch.org/whl/cu126 (or cu128)"
    )


def gpus_of(places: Iterable[str | int | torch.device]) -> list[int]:
    """Return the indices of the CUDA devices among the places of a model's parts.

    Args:
        places: devices, as in the device maps of accelerate: "disk" is no device, and an integer is the index
            of a GPU. "auto" stands for all GPUs.
    """
    found = set()
    for place in places:
        if place == "auto":
            found.update(range(torch.cuda.device_count()))
        elif place != "disk":
            where = torch.device("cuda", place) if isinstance(place, int) else torch.device(place)
            if where.type == "cuda":
                found.add(torch.cuda.current_device() if where.index is None else where.index)
    return sorted(found)


def prepare(gpus: Sequence[int], dtype: torch.dtype) -> None:
    """Prepare this process for models on CUDA devices; do nothing without one.

    cuDNN's attention is turned off. On Hopper and Blackwell cards, torch prefers it to its other kernels. Its
    backward pass then returns NaN for some masked batches whose length is 64 modulo 128
    (pytorch/pytorch#196678), and it compiles a plan of about a second for each new shape of a batch.
    """
    if not gpus:
        return
    torch.backends.cuda.enable_cudnn_sdp(False)
    for gpu in gpus if dtype == torch.bfloat16 and torch.version.hip is None else ():
        if torch.cuda.get_device_capability(gpu) < BFLOAT16_CAPABILITY:
            name = torch.cuda.get_device_name(gpu)
            _say(f"{name} has no bfloat16 arithmetic, so torch emulates it slowly: use float16 or float32")


@cache
def _say(line: str) -> None:
    """Print a line on stderr, once per process."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def seeded(gpus: Sequence[int], seed: int) -> Iterator[None]:
    """Seed torch's generators of the CPU and of these GPUs for the block, and restore them afterwards.

    `torch.manual_seed` would also seed the other GPUs, and `torch.random.fork_rng` would initialize CUDA to
    save their states, also for a model on the CPU.
    """
    with torch.random.fork_rng(gpus, device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(seed)
        yield
