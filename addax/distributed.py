"""Several ranks: each evaluates its own part of every batch, and all of them take one step.

    L(theta) = 1/R sum_r L_r(theta),   g0 = 1/R sum_r g0_r,   g1 = 1/R sum_r g1_r

which is the whole batch's loss, projected_grad and gradient where the R parts are equally large and each
loss is the mean over its part; where parts differ in size, every part counts the same, not every example.
z and rounding are functions of the seed, and an all-reduce gives all ranks the same bits, so parameters that
start equal stay equal, bit for bit, on devices of one kind. A closure that raises on one rank, or a loss that
reaches other parameters there, leaves the other ranks waiting until the group's timeout.

Cost: an all-reduce of two scalars an estimate, of one scalar a first-order loss, and one a gradient.
Memory: one gradient's mean. 16-bit gradients are averaged in float32, so that ranks beyond the first add no
rounding and no overflow of their own, for twice the traffic.
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
    """The mean of a tensor over a group's ranks, in at least float32; the tensor itself without a group.

    Never in place: the backward pass may go on to read the memory that a gradient lies in.
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
    """One collective at the start: all ranks hold the same model and the same seed.

    Args:
        model: all of its parameters are compared by shape, dtype and bits, frozen ones too.
        trained: the trainable parameters.
        seed: of the method.
        group: the ranks to compare.

    Raises:
        ValueError: on all ranks alike: another seed, the first parameter that differs, or a rank whose
            parameters lie on several devices; and in a process that is none of the group's.
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
    """What must agree of a parameter, with a checksum of its bits in their order if it has memory."""
    known = (tuple(p.shape), str(p.dtype), p.requires_grad)
    if p.device.type == "meta":
        return known
    integer = _INTEGERS.get(p.element_size(), torch.uint8)
    bits = p.detach().contiguous().view(-1).view(integer)
    total = torch.zeros((), dtype=torch.int64, device=p.device)
    for start in range(0, bits.numel(), _CHECKSUM_BLOCK):
        part = bits[start : start + _CHECKSUM_BLOCK].long()
        place = torch.arange(start, start + part.numel(), device=p.device)
        # An odd factor of its own for each place: exchanged elements give another sum. It wraps around.
        total += (part * (place * _ODD | 1)).sum()
    return (*known, int(total))
