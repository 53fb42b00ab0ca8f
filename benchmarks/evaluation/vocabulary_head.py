"""The vocabulary head of a masked LM, run on the positions of the masks only.

The logits of all positions would be most of the memory of a forward pass: 64 sequences of 128 tokens have
1.6 GB of float32 logits over RoBERTa's vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.evaluation.passes import read


def vocabulary_head(model: PreTrainedModel) -> nn.Module | None:
    """Return the direct child of a model that computes its logits from hidden states; None without one."""
    output = model.get_output_embeddings()
    for child in model.children():
        if child is not model.base_model and any(module is output for module in child.modules()):
            return child
    return None


@contextmanager
def reading_only(head: nn.Module, behind: int | Tensor) -> Iterator[None]:
    """Give a head one position of each row, so that it returns logits of shape (batch, 1, vocabulary).

    Args:
        head: a module whose first argument has shape (batch, positions, width).
        behind: the position of each row, as `read` takes it.
    """

    def gather(_: nn.Module, args: tuple) -> tuple:
        return read(args[0], behind)[:, None], *args[1:]

    handle = head.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()
