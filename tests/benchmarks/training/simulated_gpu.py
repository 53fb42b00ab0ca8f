"""Helper: tensors that claim to be on a GPU; copies to the host arrive when its stream is synchronized."""

import warnings

import torch
from torch import Tensor

GPU = torch.device("cuda", 0)


class Stream:
    """The GPU's stream.

    Attributes:
        pending: (host tensor, values) of the copies that have not arrived.
        pinned: bytes that were pinned.
        limit: bytes that the system can pin.
    """

    def __init__(self, limit=float("inf")):
        self.pending, self.pinned, self.limit = [], 0, limit

    def synchronize(self):
        for host, values in self.pending:
            host.copy_(values)
        self.pending.clear()


class OnGpu(Tensor):
    """A tensor on the simulated GPU; its values are in `.values`, its stream is `.stream`."""

    @staticmethod
    def __new__(cls, values, stream):
        return Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype, device=GPU)

    def __init__(self, values, stream):
        self.values, self.stream = values, stream

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == "detach":
            return cls(args[0].values, args[0].stream)
        if name == "empty_like":
            return _allocate(args[0], kwargs)
        if name == "copy_" and isinstance(args[1], cls) and not isinstance(args[0], cls):
            return _copy_to_host(*args[:2], **kwargs, non_blocking=(*args, False)[2])
        if name == "copy_" and isinstance(args[0], cls):
            args[0].values.copy_(args[1])
            return args[0]
        raise NotImplementedError(f"the simulated GPU has no {func}")


def _allocate(like, options):
    assert options["device"] == torch.device("cpu")
    if options["pin_memory"]:
        if like.stream.pinned + like.nbytes > like.stream.limit:
            raise RuntimeError("CUDA error: out of memory")
        like.stream.pinned += like.nbytes
    # Without a copy, the values must not be right by chance.
    return torch.full_like(like.values, 77)


def _copy_to_host(host, on_gpu, non_blocking):
    if non_blocking:
        on_gpu.stream.pending.append((host, on_gpu.values.clone()))
    else:
        warnings.warn("a copy that waits for the GPU", stacklevel=2)
        host.copy_(on_gpu.values)
    return host
