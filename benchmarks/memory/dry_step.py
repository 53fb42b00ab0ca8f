"""A method's own step on a model from its configuration alone: by it memory is predicted, and measured."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

from benchmarks import models, tasks
from benchmarks.config.methods import build_optimizer
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import LoadedModel
from benchmarks.models import _trainable as parameters
from benchmarks.models._dropout import Dropout

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# The only token there is: what it means changes no size.
WORD = 10
Batches = Mapping[str, Sequence[Encoded]]


@dataclass(frozen=True)
class _Tokenizer:
    """All that scoring asks of a tokenizer."""

    pad_token_id: int = 1
    mask_token_id: int = WORD


class DryStep:
    """A model, a method and the closures of its step.

    Args:
        spec: method, settings, task, dtype, head, scoring, parameters, gradient checkpointing and dropout.
        config: of the model.
        batches: what each closure sees: "zo", "fo", and "full" for a method with full-batch steps.
        device: of the model.
    """

    def __init__(
        self,
        spec: RunSpec,
        config: "PreTrainedConfig",
        batches: Batches,
        device: str,
    ) -> None:
        self.spec = spec
        if getattr(config, "pad_token_id", None) is None:
            # As a tokenizer's is written into it at loading: heads ask for one.
            config = copy.deepcopy(config)
            config.pad_token_id = _Tokenizer.pad_token_id
        self.batches = {part: pad_to_longest(batch) for part, batch in batches.items()}
        self.model = models.build(
            config,
            dtype=getattr(torch, spec.dtype),
            device=device,
            head=spec.head,
            num_labels=config.num_labels if spec.head == "classification" else None,
        )
        parameters.select(self.model, spec.trainable)
        if spec.gradient_checkpointing:
            self.model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
        family = models.family_of(config.model_type, "configuration")
        loaded = LoadedModel(self.model, _Tokenizer(), family, spec.model, 0)
        self.scorer = Scorer(loaded, tasks.load(spec.task), spec.head, spec.scoring)
        self.dropout = Dropout(self.model)
        self.optimizer = build_optimizer(spec, self.model)
        if hasattr(self.optimizer, "perturbed_forward"):
            # Looks at addresses, once in a run.
            self.optimizer.perturbed_forward.check = False
        if hasattr(self.optimizer, "anchor_every"):
            # The steps between two anchor steps are alike.
            self.optimizer.anchor_every = min(self.optimizer.anchor_every, 2)

    def step(self, around: Callable[[str], Any] = nullcontext) -> None:
        """One step.

        Args:
            around: makes the context of a closure ("zo", "fo" or "full").
        """
        at_anchor = getattr(self.optimizer, "at_anchor", False)
        parts = [part for part in self.batches if part == "fo" or (part == "full") == at_anchor]
        self.optimizer.step(**{f"{part}_loss": self._closure(part, around) for part in parts})

    def step_all_kinds(self, around: Callable[[str], Any] = nullcontext) -> None:
        """A step, and every kind of step with what the first one leaves: state, and noise's scratch."""
        for _ in range(1 + getattr(self.optimizer, "anchor_every", 1)):
            self.step(around)

    def _closure(self, part: str, around: Callable[[str], Any]) -> Callable[[], torch.Tensor]:
        def loss() -> torch.Tensor:
            drops = part == "fo" and self.spec.dropout
            with around(part), nullcontext() if drops else self.dropout.off():
                return self.scorer.loss(self.batches[part])

        return loss


def state_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """What an optimizer keeps between its steps."""
    return [leaf for leaf in tree_leaves(optimizer.state_dict()) if isinstance(leaf, torch.Tensor)]


def pad_to_longest(batch: Sequence[Encoded]) -> list[Encoded]:
    """Examples of the same memory whose tokens mean nothing: as long as the longest, padded if any was."""
    own = [_behind(e) for e in batch]
    lengths = [len(e.prompt) + n for e, n in zip(batch, own, strict=True)]
    prompts = [max(lengths) - n for n in own]
    if len(set(lengths)) > 1:
        prompts[0] -= 1
    return [
        _example(n, [len(c) for c in e.candidates], len(e.answer))
        for n, e in zip(prompts, batch, strict=True)
    ]


def _behind(example: Encoded) -> int:
    """Tokens that a training step may see behind an example's prompt."""
    return len(example.answer) or max(map(len, example.candidates), default=0)


def _example(prompt: int, candidates: Sequence[int], answer: int) -> Encoded:
    options = tuple((WORD,) * n for n in candidates)
    return Encoded((WORD,) * prompt, options, (WORD,) * answer, 0, prompt + max([answer, *candidates]))


def synthetic(lengths: Sequence[int], candidates: int = 2, answer: int = 0) -> list[Encoded]:
    """Examples of given lengths in tokens, whose tokens mean nothing.

    Args:
        lengths: one an example, of prompt and answer; where they differ the batch is padded.
        candidates: how many candidates of one token there are, scored after the prompt.
        answer: tokens of the answer that teacher forcing trains on, in the length; 0 where candidates are
            compared.
    """
    options = () if answer else ((WORD,),) * candidates
    return [Encoded((WORD,) * (n - answer), options, (WORD,) * answer, 0, n) for n in lengths]
