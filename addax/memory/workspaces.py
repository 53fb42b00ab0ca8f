"""Memory of a GPU that no operator returns: cuBLAS's workspaces, and what attention's backward pass takes.

torch allocates all of it with its caching allocator, so it counts toward the allocator's peak.

- cuBLAS gets a workspace per thread in which it is used. Closures run in the calling thread, and backward
  passes in a thread that torch keeps for the GPU, so there are two. They stay.
- The kernels of attention accumulate the gradient of the queries in float32, in blocks, and keep a statistic
  per query. This memory is freed when the kernel has been launched.

Not included: the partial results of attention's forward pass on batches too small to fill the GPU, which are
small, too.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
FLOAT32 = 4
#: Bytes of a workspace of cuBLAS, unless CUBLAS_WORKSPACE_CONFIG changes it: up to Ampere and Ada (compute
#: capability 8), and on Hopper and Blackwell.
CUBLAS, CUBLAS_HOPPER = 2 * 4096 * 1024 + 8 * 16 * 1024, 32 * 2**20
HOPPER_AND_BLACKWELL = (9, 10, 12)
#: Threads that use cuBLAS: that of the closures, and that of the backward passes.
THREADS = 2


def cublas_workspaces(capability: tuple[int, int] | None) -> list[int]:
    """Return the bytes of each workspace of cuBLAS on a GPU.

    Args:
        capability: compute capability of the GPU, as from `torch.cuda.get_device_capability`; None for the
            most that any GPU needs.

    Examples:
        >>> [size / 2**20 for size in cublas_workspaces((8, 0))], sum(cublas_workspaces(None)) // 2**20
        ([8.125, 8.125], 64)
    """
    large = capability is None or capability[0] in HOPPER_AND_BLACKWELL
    return [CUBLAS_HOPPER if large else CUBLAS] * THREADS


def temporaries(func: Any, args: Sequence[Any]) -> list[int]:
    """Return the bytes of each buffer that an operator allocates beside its outputs on a GPU, and frees.

    Args:
        func: the operator.
        args: its positional arguments. Those of attention have the shapes of `gpu_attention`.
    """
    if func is aten._scaled_dot_product_flash_attention_backward.default:
        return _flash_backward(*args[1:3])
    if func is aten._scaled_dot_product_efficient_attention_backward.default:
        return _efficient_backward(args[1])
    return []


def _flash_backward(query: Tensor, key: Tensor) -> list[int]:
    """Return the buffers of the flash kernel: `softmax_d`, `dq_accum`, and gradients of expanded groups."""
    batch, heads, tokens, width = query.shape
    rows, columns = _up(tokens, 128), _up(width, 32 if width <= 128 else 64)
    found = [batch * heads * rows * FLOAT32, batch * heads * rows * columns * FLOAT32]
    if key.shape[1] != heads:
        # Gradients of keys and values for each head of the queries, which are then summed over each group.
        found += [batch * heads * key.shape[2] * width * key.element_size()] * 2
    return found


def _efficient_backward(query: Tensor) -> list[int]:
    """Return the buffers of the memory-efficient kernel on compute capability 8.0 and newer."""
    batch, heads, tokens, width = query.shape
    if width <= 64:
        rows, columns = 64, 64
    else:
        rows, columns = 128, 128 if query.element_size() < FLOAT32 and width <= 128 else 64
    # A lock, a counter, and padding precede the values of each block.
    block = rows * columns * FLOAT32 + 16
    blocks = math.ceil(tokens / rows) * math.ceil(width / columns)
    return [batch * heads * tokens * FLOAT32, batch * heads * blocks * block]


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
