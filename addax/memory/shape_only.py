"""Shape-only mode: let methods work on meta tensors as if the tensors were on a real device.

Methods query properties of devices that meta tensors do not have. `shape_only` replaces these queries in the
thread that enters it. Other threads are not affected.
"""

import importlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from addax import noise, validation

META = torch.device("meta")


@contextmanager
def shape_only(device: str) -> Iterator[None]:
    """Make methods treat meta tensors as tensors on a device, in this thread.

    Only the first block of each tensor is processed, because later blocks reuse its memory.

    Args:
        device: the device, "cpu" or "cuda".
    """

    def on_cpu(_device: torch.device) -> bool:
        return device == "cpu"

    def uses_kernels(_device: torch.device) -> bool:
        # CUDA builds of torch ship triton, so the device that the prediction is for has the kernels.
        return device == "cuda"

    def for_all_blocks(
        numels: Sequence[int],
        device: torch.device,
        work: Callable[[int, int, slice], None],
        *,
        kind: str | None = "normal",
    ) -> None:
        for number, numel in enumerate(numels):
            for block, part in itertools.islice(noise.blocks(numel, device), 1):
                work(number, block, part)

    def is_offloaded(_p: nn.Parameter) -> bool:
        return False

    def no_accelerator(*_args: Any, **_options: Any) -> None:
        """Hide the machine's GPU, so that Adam does not start CUDA to look for a graph capture."""

    def supported(*_args: Any) -> None:
        """Accept every device. Without this patch, fused Adam rejects devices without a kernel."""

    replacements = {
        (noise, "on_cpu"): on_cpu,
        (noise, "uses_kernels"): uses_kernels,
        (noise, "for_all_blocks"): for_all_blocks,
        (validation, "is_offloaded"): is_offloaded,
        (torch.accelerator, "current_accelerator"): no_accelerator,
        (importlib.import_module("torch.optim.adam"), "_device_dtype_check_for_fused"): supported,
    }
    # torch has no generator for the meta device.
    noise.workspace.generators[META] = torch.Generator()
    try:
        with ExitStack() as stack:
            for (module, name), replacement in replacements.items():
                in_thread = _in_this_thread(replacement, getattr(module, name))
                stack.enter_context(mock.patch.object(module, name, in_thread))
            yield
    finally:
        del noise.workspace.generators[META]


def _in_this_thread(replacement: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    thread = threading.get_ident()

    # Use a plain function, because a Mock would keep references to its arguments.
    def call(*args: Any, **options: Any) -> Any:
        return (replacement if threading.get_ident() == thread else original)(*args, **options)

    return call


def scratch_buffers() -> list[Tensor]:
    """Return the scratch memory that noise keeps between draws in this thread."""
    return list(noise.workspace.buffers.values())
