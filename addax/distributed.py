"""Data parallelism: each rank evaluates its part of every batch, and all ranks take the same step.

    L(theta) = 1/R sum_r L_r(theta),   g0 = 1/R sum_r g0_r,   g1 = 1/R sum_r g1_r

These are the loss, projected_grad, and gradient of the whole batch if the R parts are equally large and each
loss is the mean over its part. If the parts differ in size, each part (not each example) has the same weight.
z and rounding are functions of the seed, and an all-reduce gives all ranks the same bits. On CPUs, and on
CUDA devices with fused kernels, parameters that start bit-identical therefore stay bit-identical. Without
the kernels, this holds for CUDA devices of one model. If a closure raises on one rank,
or if its loss reaches different parameters there, the other ranks wait until the timeout of the group.

Cost: one all-reduce of two scalars per estimate, one of a scalar per first-order loss, and one per gradient.
Memory: the mean of one gradient. 16-bit gradients are averaged in float32, which avoids rounding and overflow
and doubles the traffic.
"""

import os
import warnings
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

_CHECKSUM_BLOCK = 1 << 20
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_ODD = 0x4F1BBCDCBFA53E0B


def warn_without_group(method: str, stacklevel: int) -> None:
    """Warn if this process is one of several, but the method is built without a process group.

    Args:
        method: name of the method.
        stacklevel: number of frames from this function to the code that the warning is about.
    """
    started = dist.is_available() and dist.is_initialized()
    world = dist.get_world_size() if started else os.environ.get("WORLD_SIZE", "")
    if not str(world).isdecimal() or int(world) < 2:
        return
    first = "" if started else "call torch.distributed.init_process_group() and "
    warnings.warn(
        f"{method} has no process_group, so each of the {world} processes trains its own model: {first}pass "
        "process_group=torch.distributed.group.WORLD",
        stacklevel=stacklevel + 1,
    )


def mean_over_ranks(value: Tensor, group: ProcessGroup | None) -> Tensor:
    """Return a tensor's mean over a group's ranks, in at least float32. Without a group, return the tensor.

    The tensor is not changed in place, because the backward pass may still read a gradient's memory.
    """
    if group is None:
        return value
    dtype = torch.promote_types(value.dtype, torch.float32)
    mean = value.to(dtype, copy=True, memory_format=torch.contiguous_format)
    mean.div_(group.size())
    dist.all_reduce(mean, group=group)
    return mean


def check_ranks(
    model: nn.Module,
    trained: Mapping[nn.Parameter, int],
    seed: int,
    group: ProcessGroup,
    noise: str | None = None,
) -> None:
    """Check with one collective that all ranks have the same model and the same seed.

    Args:
        model: the model, whose parameters (including frozen ones) are compared by shape, dtype, and bits.
        trained: the trainable parameters.
        seed: the method's seed.
        group: the ranks to compare.
        noise: the implementation that draws the method's noise on this rank.

    Raises:
        ValueError: on all ranks, if seeds, noise, or parameters differ or if a rank has parameters on several
            devices; on this rank, if this process is not a member of the group.
    """
    if dist.get_rank(group) < 0:
        raise ValueError("this process is not in process_group: pass each rank a group that contains it")
    devices = sorted({str(p.device) for p in trained})
    local = (devices, seed, noise, {name: _summary(p) for name, p in model.named_parameters()})
    ranks: list[tuple] = [()] * group.size()
    dist.all_gather_object(ranks, local, group=group)
    _, first_seed, first_noise, first = ranks[0]
    for rank, (devices, rank_seed, rank_noise, parameters) in enumerate(ranks):
        if len(devices) > 1:
            raise ValueError(
                f"rank {rank} has parameters on {' and '.join(devices)}: with a process_group, each rank "
                "must train on one device, because gradients on several devices complete in no fixed order"
            )
        if rank_seed != first_seed:
            raise ValueError(
                f"rank {rank} has seed {rank_seed} and rank 0 has seed {first_seed}: use one seed for all"
            )
        if rank_noise != first_noise:
            raise ValueError(
                f"rank {rank} draws its noise with implementation {rank_noise!r} and rank 0 with "
                f"{first_noise!r}: use devices of one kind, with or without triton on all"
            )
        for name in (*first, *parameters):
            if first.get(name) != parameters.get(name):
                raise ValueError(
                    f"parameter {name!r} differs between rank 0 and rank {rank}: build or load the same "
                    "model on all ranks, from the same seed or file"
                )


def _summary(p: nn.Parameter) -> tuple[object, ...]:
    """Return a parameter's shape, dtype, requires_grad flag, and order-sensitive checksum of its bits."""
    description = (tuple(p.shape), str(p.dtype), p.requires_grad)
    if p.device.type == "meta":
        return description
    integer = _INTEGERS.get(p.element_size(), torch.uint8)
    bits = p.detach().contiguous().view(-1).view(integer)
    total = torch.zeros((), dtype=torch.int64, device=p.device)
    for start in range(0, bits.numel(), _CHECKSUM_BLOCK):
        part = bits[start : start + _CHECKSUM_BLOCK].long()
        position = torch.arange(start, start + part.numel(), device=p.device)
        # The factor is odd and differs between positions, so swapping elements changes the (wrapping) sum.
        total += (part * (position * _ODD | 1)).sum()
    return (*description, int(total))
