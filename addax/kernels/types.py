"""The dtypes of the kernels, and checks of the tensors of a call."""

from collections.abc import Sequence

import torch
import triton.language as tl
from torch import Tensor

from addax.kernels.launch import ROWS

HALF = (torch.float16, torch.bfloat16)
TRITON = {
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


def check(groups: Sequence[Sequence[Tensor]], direction: str) -> None:
    """Check what every kernel takes for granted.

    Args:
        groups: the tensors of a call. Each group has one dtype.
        direction: the name of a direction.

    Raises:
        ValueError: if the direction is unknown, a dtype is not supported, a tensor is not contiguous, or the
            tensors differ in device, or within a group in dtype.
    """
    if direction not in ROWS:
        raise ValueError(f"direction must be 'normal' or 'rademacher', not {direction!r}")
    device = groups[0][0].device
    for group in groups:
        for tensor in group:
            if tensor.dtype not in TRITON:
                names = ", ".join(str(dtype) for dtype in TRITON)
                raise ValueError(f"a tensor is {tensor.dtype}; the kernels support {names}")
            if tensor.dtype != group[0].dtype or tensor.device != device:
                raise ValueError(
                    "one call takes tensors of one dtype on one device, not both "
                    f"{group[0].dtype} on {device} and {tensor.dtype} on {tensor.device}"
                )
            if not tensor.is_contiguous():
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} is not contiguous")
