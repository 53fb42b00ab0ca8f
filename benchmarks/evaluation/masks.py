"""Ready attention masks: boolean, of shape (batch, 1, queries, keys), for every attention layer as they are.

transformers builds these masks from masks of shape (batch, tokens), but first looks at their values to find
out whether any token is padding. Without a mask, it looks at the positions instead. On a GPU, each look makes
the host wait for all queued work.
"""

import torch
from torch import Tensor
from transformers import PreTrainedConfig


def ready_mask(tokens: Tensor, real: Tensor | None, *, causal: bool) -> Tensor:
    """Return the mask of which keys each query sees, equal to the one that transformers would build.

    Args:
        tokens: token ids, shape (batch, tokens).
        real: nonzero where a token is not padding, shape (batch, tokens); None if every token is real.
        causal: whether a token sees only itself and earlier tokens; otherwise `real` is needed.

    Returns:
        bool, shape (batch, 1, tokens, tokens), or (1, 1, tokens, tokens) if every token is real.
    """
    longest = tokens.shape[1]
    keys = None if real is None else real.bool()[:, None, None, :]
    if not causal:
        return keys.expand(-1, -1, longest, -1)
    index = torch.arange(longest, device=tokens.device)
    earlier = (index[:, None] >= index)[None, None]
    return earlier if keys is None else earlier & keys


def one_mask_fits(config: PreTrainedConfig) -> bool:
    """Return whether one boolean mask fits every layer: none has a window, chunks, a recurrence, or ALiBi.

    The rule is that of `transformers.masking_utils.create_masks_for_generate`. Other implementations of
    attention than torch's take masks of other kinds. ALiBi computes its biases from a mask of tokens.
    """
    config = config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    limits = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    return (
        config._attn_implementation == "sdpa"
        and kinds <= {"full_attention"}
        and all(limit is None for limit in limits)
        and not getattr(config, "alibi", False)
    )
