"""Copies of host values to a device that do not wait for the device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def on_device(values: Sequence[Any], device: torch.device) -> Tensor:
    """Return a tensor of (nested) numbers or booleans on a device.

    A copy from pageable memory to a GPU makes the host wait for the work that is queued there, so the values
    go through pinned memory.
    """
    if device.type != "cuda":
        return torch.tensor(values).to(device)
    return torch.tensor(values, pin_memory=True).to(device, non_blocking=True)
