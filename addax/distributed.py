"""Data parallelism: every rank evaluates its part of each batch, and all ranks take the same step.

    L(theta) = 1/R sum_r L_r(theta),   g0 = 1/R sum_r g0_r,   g1 = 1/R sum_r g1_r

These are the loss, projected_grad, and gradient of the whole batch if the R parts are equally large and each
loss is the mean over its part. If parts differ in size, every part counts the same, not every example. z and
rounding are functions of the seed, and an all-reduce gives all ranks the same bits, so parameters that start
equal stay equal, bit for bit, on devices of one kind. If a closure raises on one rank, or a loss reaches
other parameters there, the other ranks wait until the group's timeout.

Cost: an all-reduce of two scalars per estimate, of one scalar per first-order loss, and one per gradient.
Memory: one gradient's mean. 16-bit gradients are averaged in float32, so averaging adds no rounding and no
overflow, at twice the traffic.
"""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

_CHECKSUM_BLOCK = 1 << 20
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_ODD = 0x4F1BBCDCBFA53E0B


def mean_over_ranks(value: Tensor, group: ProcessGroup | None) -> Tensor:
    """Return a tensor's mean over a group's ranks, in at least float32; the tensor itself without a group.

    The tensor is not changed in place: the backward pass may still read a gradient's memory.
    """
    if group is None:
        return value
    dtype = torch.promote_types(value.dtype, torch.float32)
    mean = value.to(dtype, copy=True, memory_format=torch.contiguous_format)
    mean.div_(group.size())
    dist.all_reduce(mean, group=group)
    return mean


def check_ranks(
    model: nn.Module, trained: Mapping[nn.Parameter, int], seed: int, group: ProcessGroup
) -> None:
    """Check with one collective that all ranks have the same model and the same seed.

    Args:
        model: its parameters, including frozen ones, are compared by shape, dtype, and bits.
        trained: the trainable parameters.
        seed: the method's seed.
        group: the ranks to compare.

    Raises:
        ValueError: on all ranks: seeds or a parameter differ, or a rank has parameters on several devices;
            also if this process is not a member of the group.
    """
    if dist.get_rank(group) < 0:
        raise ValueError("this process is no rank of process_group: give each rank a group that it is in")
    devices = sorted({str(p.device) for p in trained})
    mine = (devices, seed, {name: _summary(p) for name, p in model.named_parameters()})
    ranks: list[tuple] = [()] * group.size()
    dist.all_gather_object(ranks, mine, group=group)
    _, first_seed, first = ranks[0]
    for rank, (devices, theirs, parameters) in enumerate(ranks):
        if len(devices) > 1:
            raise ValueError(
                f"rank {rank} has parameters on {' and '.join(devices)}: with a process_group a rank trains "
                "on one device, since gradients of several complete in no fixed order"
            )
        if theirs != first_seed:
            raise ValueError(
                f"rank {rank} has seed {theirs} and rank 0 has seed {first_seed}: give all ranks one seed"
            )
        for name in (*first, *parameters):
            if first.get(name) != parameters.get(name):
                raise ValueError(
                    f"parameter {name!r} differs between rank 0 and rank {rank}: build or load the same "
                    "model on all ranks, from one seed or one file"
                )


def _summary(p: nn.Parameter) -> tuple[object, ...]:
    """Return what must agree between ranks: shape, dtype, and a checksum of the bits in their order."""
    known = (tuple(p.shape), str(p.dtype), p.requires_grad)
    if p.device.type == "meta":
        return known
    integer = _INTEGERS.get(p.element_size(), torch.uint8)
    bits = p.detach().contiguous().view(-1).view(integer)
    total = torch.zeros((), dtype=torch.int64, device=p.device)
    for start in range(0, bits.numel(), _CHECKSUM_BLOCK):
        part = bits[start : start + _CHECKSUM_BLOCK].long()
        place = torch.arange(start, start + part.numel(), device=p.device)
        # A different odd factor per place, so that exchanged elements change the sum, which wraps around.
        total += (part * (place * _ODD | 1)).sum()
    return (*known, int(total))
