"""Padding: how sequences of different lengths share a forward pass without changing any result.

No architecture is known by name here. Whether a model's results depend on padding is measured when its scorer
is built: a few tokens are run alone and padded, and the first of these ways that gives equal results is used.

    left      sequences end together, so few logits are needed; the model gets positions that count from the
              first real token, or computes them itself
    right     with a mask, except for causal LMs, whose tokens never see what follows them
    none      only sequences of equal length share a forward pass

Most LMs pass on the left. Decoders whose positions ignore the mask (BART's) and state-space models (Mamba)
pass on the right, and so do encoders with a classification head. Encoders that mix neighbors or frequencies
(ConvBERT, FNet) pass neither.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.errors import UserError, first_line
from benchmarks.evaluation.masks import one_mask_fits, ready_mask
from benchmarks.evaluation.transfer import on_device
from benchmarks.models._mode import evaluating
from benchmarks.models._transformers import vocabulary_size
from benchmarks.profiling.oom import is_out_of_memory

Side = Literal["left", "right", "none"]
# Tokens of the sequence that is run alone and padded, and the number of padding tokens.
PROBE, PADDING = 5, 6
# Number of characters to measure a model of characters with.
CHARACTERS = 128


class Padding:
    """Builds model inputs, padded in a way that does not change the model's results.

    Args:
        model: the model, in any mode and on any device. On the meta device nothing can be measured, and the
            usual side is assumed.
        pad: the padding token.
        causal: whether tokens see only earlier tokens. Encoders are not causal.
        head: whether the model has a classification head.
        name: the model's name, for the error message.

    Attributes:
        side: the way of padding.
        gives_positions: whether inputs with a mask contain positions.
        ready: whether `forward` gives the model ready masks (`benchmarks/evaluation/masks.py`). Models that
            compute more than attention from a mask (ALiBi, recurrences) get masks of shape (batch, tokens).
        masks_all: whether `forward` gives a ready mask to batches without padding, too. On a GPU, decoders
            would look at their positions otherwise. On a CPU, a look costs less than the mask.

    Raises:
        UserError: the model needs more than tokens, or a causal model's predictions depend on later tokens,
            so that it would see the answers.
    """

    def __init__(self, model: nn.Module, pad: int, *, causal: bool, head: bool, name: str) -> None:
        self.model = model
        self.pad = pad
        self.device = next(model.parameters()).device
        self.causal = causal
        self.head = head
        # accelerate replaces the instance's forward.
        self.accepted = frozenset(inspect.signature(type(model).forward).parameters)
        # The first way is the usual one: RoBERTa computes its positions itself, for example. Encoders' heads
        # read the first position, which is never padded on the right.
        self.ways: tuple[tuple[Side, bool], ...] = (("right", False),)
        if causal or not head:
            self.ways = (("left", causal), ("left", not causal), ("right", False))
        self.side, self.gives_positions = self.ways[0]
        self.ready = self.masks_all = False
        if self.device.type == "meta":
            self.ready = one_mask_fits(model.config)
            self.gives_positions = causal
        else:
            with evaluating(model):
                self._measure(name)
        self.masks_all = self.ready and causal and self.device.type == "cuda"

    @property
    def needs_mask(self) -> bool:
        """Whether padded inputs need an attention mask."""
        return not (self.side == "right" and self.causal and not self.head)

    def words(self, count: int) -> tuple[int, ...]:
        """Return tokens to measure with: words from the middle of the vocabulary, where none is special."""
        size = vocabulary_size(self.model) or CHARACTERS
        reserved = {self.pad, getattr(self.model.config, "pad_token_id", None)}
        words = [token for token in range(size // 2, size) if token not in reserved]
        return tuple(words[i % len(words)] for i in range(count))

    def _measure(self, name: str) -> None:
        """Set the way of padding, and whether masks may be ready."""
        longer = self.words(PROBE + PADDING)
        tokens = longer[:PROBE]
        alone = self._alone(tokens, name)
        if self.causal and not self.head:
            self._refuse_sight_of_later_tokens(longer, name)
        for way in self.ways:
            self.side, self.gives_positions = way
            # Causality, which was just measured, is all that padding without a mask needs.
            if not self.needs_mask or is_close(self._real_logits([tokens, longer]), alone):
                break
        else:
            self.side, self.gives_positions = "none", False
            return
        if one_mask_fits(self.model.config):
            self._measure_ready_masks(longer, alone)

    def _alone(self, tokens: Sequence[int], name: str) -> Tensor:
        """Return the logits of a sequence without padding; reject a model that needs more than tokens."""
        try:
            return self._real_logits([tokens])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"model {name}: its forward pass does not run on tokens alone ({first_line(error)}); use a "
                "model that reads one text"
            ) from error

    def _measure_ready_masks(self, longer: Sequence[int], alone: Tensor) -> None:
        """Set whether ready masks give equal results, padded or not, and whether positions belong to them."""
        unpadded, usual = self._real_logits([longer]), self.gives_positions
        self.ready, self.masks_all = True, self.causal

        def equal() -> bool:
            padded = self._real_logits([longer[:PROBE], longer])
            return is_close(padded, alone) and is_close(self._real_logits([longer]), unpadded)

        # Many causal models would count positions from a mask of shape (batch, tokens).
        for gives_positions in (True, False) if self.causal else (usual,):
            self.gives_positions = gives_positions
            if passes(equal):
                return
        self.ready, self.gives_positions = False, usual

    def _refuse_sight_of_later_tokens(self, longer: Sequence[int], name: str) -> None:
        self.side = "right"
        changed = [*longer[:PROBE], *longer[:PADDING]]
        # Equal shapes are compared without rounding differences.
        if not is_close(self._real_logits([changed]), self._real_logits([longer])):
            raise UserError(
                f"model {name}: it is not a causal LM: its predictions depend on later tokens, so it would "
                "see the answers; use the classification head, or another model"
            )

    def _real_logits(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the first row's logits: of a head's classes, or after each of its real tokens."""
        logits = self.forward(self.inputs(rows)).logits[:1]
        if self.head:
            return logits
        return logits[:, -PROBE:] if self.side == "left" else logits[:, :PROBE]

    def call(self, inputs: Mapping[str, Any], **options: Any) -> Any:
        """Run the model, with those options that its forward accepts."""
        return self.model(**inputs, **{k: v for k, v in options.items() if k in self.accepted})

    def forward(self, inputs: Mapping[str, Tensor], **options: Any) -> Any:
        """Run the model like `call`, without a cache, and with a ready mask if the model accepts one.

        With a ready mask, the host never waits for a GPU.
        """
        real = inputs.get("attention_mask")
        if self.ready and (self.masks_all or real is not None):
            tokens = inputs["input_ids"]
            inputs = {**inputs, "attention_mask": ready_mask(tokens, real, causal=self.causal)}
            if self.gives_positions and "position_ids" in self.accepted and "position_ids" not in inputs:
                inputs["position_ids"] = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return self.call(inputs, use_cache=False, **options)

    def inputs(
        self,
        sequences: Sequence[Sequence[int]],
        types: Sequence[Sequence[int]] = (),
        *,
        always_mask: bool = False,
    ) -> dict[str, Tensor]:
        """Return model inputs: int64 tensors of shape (batch, longest).

        Args:
            sequences: token sequences; of equal length if `side` is "none".
            types: token types of the same shape, if the tokenizer returns them.
            always_mask: whether to return a mask without padding, too.
        """
        inputs = {"input_ids": self._padded(sequences, self.pad)}
        is_padded = len({len(s) for s in sequences}) > 1
        if always_mask or (is_padded and self.needs_mask):
            mask = self._padded([[1] * len(s) for s in sequences], 0)
            inputs["attention_mask"] = mask
            if self.gives_positions:
                inputs["position_ids"] = positions(mask)
        if any(types):
            inputs["token_type_ids"] = self._padded(types, 0)
        return {k: v for k, v in inputs.items() if k in self.accepted}

    def _padded(self, rows: Sequence[Sequence[int]], value: int) -> Tensor:
        longest = max(len(row) for row in rows)
        if self.side == "left":
            padded = [[value] * (longest - len(row)) + list(row) for row in rows]
        else:
            padded = [list(row) + [value] * (longest - len(row)) for row in rows]
        return on_device(padded, self.device)

    def groups(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the indices of sequences that may share a forward pass, one list per pass."""
        if self.side != "none":
            return [list(range(len(sequences)))]
        return by_length(sequences)


def by_length(sequences: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the indices of sequences of equal length, shortest first."""
    groups: dict[int, list[int]] = {}
    for i, sequence in enumerate(sequences):
        groups.setdefault(len(sequence), []).append(i)
    return [groups[length] for length in sorted(groups)]


def positions(mask: Tensor) -> Tensor:
    """Return positions counted from the first real token, in the shape of the mask."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def is_close(found: Tensor, expected: Tensor) -> bool:
    """Return whether two results differ by no more than rounding.

    Padding changes the order of sums, and many models compute parts in float32. A wrong position or a padding
    token that is read changes the result far more.
    """
    tolerance = 0.03 if expected.dtype.itemsize == 2 else 3e-4
    found, expected = found.double(), expected.double()
    return bool((found - expected).norm() <= tolerance * expected.norm())


def passes(check: Callable[[], bool]) -> bool:
    """Return whether a check of the model passes. A check that the model cannot run does not."""
    try:
        return check()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return False
