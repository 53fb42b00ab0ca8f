"""Let models of transformers run on meta tensors, which have shapes but no values."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def transformers_on_meta() -> Iterator[None]:
    """Patch the checks by which transformers' masking functions read a tensor's values."""

    def no_packed_sequences(_position_ids: "Tensor") -> None:
        """Return no indices: without a mask, transformers checks whether a row packs several sequences."""

    def is_tracing(tensor: "Tensor | None" = None) -> bool:
        """Keep transformers from reading values of a mask. If there is no mask, there is nothing to read."""
        return tensor is not None

    replacements = {
        "transformers.masking_utils.find_packed_sequence_indices": no_packed_sequences,
        "transformers.masking_utils.is_tracing": is_tracing,
        "transformers.modeling_utils.is_tracing": is_tracing,
    }
    with ExitStack() as stack:
        for name, replacement in replacements.items():
            # A Mock would keep references to the tensors it is called with.
            stack.enter_context(mock.patch(name, replacement))
        yield
