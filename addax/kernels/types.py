"""The dtypes of the kernels, and checks of the tensors of a call."""

from collections.abc import Sequence

import torch
import triton.language as tl

from addax.kernels.launch import ROWS, Item

HALF = (torch.float16, torch.bfloat16)
TRITON = {
    torch.bfloat16: tl.bfloat16,
    torch.float16: tl.float16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


def check(items: Sequence[Item], direction: str) -> None:
    """Check what every kernel takes for granted.

    Raises:
        ValueError: if the direction is unknown, or if the tensors are not contiguous, or differ in device, in
            dtype (the second tensors may have a dtype of their own), or in the number of elements of an item.
    """
    if direction not in ROWS:
        raise ValueError(f"direction must be 'normal' or 'rademacher', not {direction!r}")
    device = items[0].first.device
    for tensors in ([i.first for i in items], [i.second for i in items if i.second is not None]):
        for tensor in tensors:
            if tensor.dtype not in TRITON:
                names = ", ".join(str(dtype) for dtype in TRITON)
                raise ValueError(f"a tensor is {tensor.dtype}; the kernels support {names}")
            if tensor.dtype != tensors[0].dtype or tensor.device != device:
                raise ValueError(
                    f"one call takes tensors of one dtype on one device, not both {tensors[0].dtype} on {device} "
                    f"and {tensor.dtype} on {tensor.device}"
                )
            if not tensor.is_contiguous():
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} is not contiguous")
    for item in items:
        if item.second is not None and item.second.numel() != item.first.numel():
            raise ValueError(
                f"tensors of shapes {tuple(item.first.shape)} and {tuple(item.second.shape)} do not match"
            )
