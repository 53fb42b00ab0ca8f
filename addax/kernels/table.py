"""A table of small tensors on the device, from which one launch finds all of them.

The table has one row per span of rows: the addresses of two tensors, the number of their elements, the
parameter index, and the first row of the span. It is int64, shape (spans, 5).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from addax.kernels.launch import ROWS_OF_SMALL, Item, is_fake
from addax.kernels.philox import LANES

FIELDS = 5
_Row = tuple[int, int, int, int]


def table_of(items: Sequence[Item], *, keep: bool) -> Tensor:
    """Return the table of small tensors: int64, shape (spans, 5).

    Args:
        items: the tensors, on one device.
        keep: keep the table for calls with the same tensors. The tensors of a model stay where they are, but
            gradients get new addresses at each step.
    """
    device = items[0].first.device
    if is_fake(items[0].first):
        spans = sum(_spans(item.first.numel()) for item in items)
        return torch.empty(spans, FIELDS, dtype=torch.int64, device=device)
    rows = tuple(
        (i.first.data_ptr(), 0 if i.second is None else i.second.data_ptr(), i.first.numel(), i.index)
        for i in items
    )
    if not keep:
        return _upload(rows, device)
    # Another stream could read the table before it has arrived.
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    return _kept(rows, device, stream)


@lru_cache(maxsize=1024)
def _kept(rows: tuple[_Row, ...], device: torch.device, stream: int) -> Tensor:
    # The key holds every entry of the table, so a table cannot describe other tensors at the same addresses.
    return _upload(rows, device)


def _spans(numel: int) -> int:
    return -(-numel // (ROWS_OF_SMALL * LANES.value))


def _upload(rows: Sequence[_Row], device: torch.device) -> Tensor:
    entries = [(*row, span * ROWS_OF_SMALL) for row in rows for span in range(_spans(row[2]))]
    host = torch.tensor(entries, dtype=torch.int64, pin_memory=device.type == "cuda")
    # torch does not reuse pinned memory before the copies from it have finished.
    return host.to(device, non_blocking=True)
