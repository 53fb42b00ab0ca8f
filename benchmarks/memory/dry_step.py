"""A training step on a model built from its configuration, used to predict and to measure memory."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from addax.memory import TrainingStep
from benchmarks import models, tasks
from benchmarks.config.methods import build_optimizer
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.passes import TrainingBatch
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import LoadedModel, _trainable, _transformers
from benchmarks.models._dropout import Dropout

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Every token has this value, because values do not affect memory.
WORD = 10
Batches = Mapping[str, Sequence[Encoded]]


@dataclass(frozen=True)
class _Tokenizer:
    """The attributes of a tokenizer that scoring reads."""

    pad_token_id: int = 1
    mask_token_id: int = WORD


class DryStep(TrainingStep):
    """The training step of a run, on random or meta weights.

    Args:
        spec: method, settings, task, dtype, head, scoring, trainable parameters, gradient checkpointing, and
            dropout.
        config: the model's configuration.
        batches: each closure's batch: "zo", "fo", and "full" for a method with full-batch steps.
        device: the model's device.
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
            # Classification heads need a padding token. `models.load` copies it from the tokenizer.
            config = copy.deepcopy(config)
            config.pad_token_id = _Tokenizer.pad_token_id
        self.batches = {part: pad_to_longest(batch) for part, batch in batches.items()}
        self.prepared: dict[str, TrainingBatch] = {}
        model = models.build(
            config,
            dtype=getattr(torch, spec.dtype),
            device=device,
            head=spec.head,
            num_labels=config.num_labels if spec.head == "classification" else None,
        )
        _trainable.select(model, spec.trainable, spec.model)
        if spec.gradient_checkpointing:
            _transformers.enable_checkpointing(model)
        family = models.family_of(config.model_type, "configuration", config)
        loaded = LoadedModel(model, _Tokenizer(), family, spec.model, 0)
        self.scorer = Scorer(loaded, tasks.load(spec.task), spec.head, spec.scoring)
        self.dropout = Dropout(model)
        super().__init__(
            model=model,
            optimizer=build_optimizer(spec, model),
            closures={f"{part}_loss": partial(self._loss, part) for part in self.batches},
            layers=_trainable.layers(model),
        )

    def step(self) -> None:
        """Take one step. Like a training run, prepare its batches first, except a full batch."""
        needed = [name.removesuffix("_loss") for name in self.optimizer.next_closures()]
        for part, batch in self.batches.items():
            if part in needed and part != "full":
                self.prepared[part] = self.scorer.prepare(batch)
        super().step()
        self.prepared.clear()

    def _loss(self, part: str) -> torch.Tensor:
        with nullcontext() if part == "fo" and self.spec.dropout else self.dropout.off():
            return self.scorer.loss(self.prepared.get(part, self.batches[part]))


def pad_to_longest(batch: Sequence[Encoded]) -> list[Encoded]:
    """Return examples that take as much memory as the batch, all as long as its longest example.

    If the lengths in the batch differ, the first example stays one token shorter, so that the batch is
    padded.
    """
    tails = [_tail_length(e) for e in batch]
    lengths = [len(e.prompt) + n for e, n in zip(batch, tails, strict=True)]
    prompts = [max(lengths) - n for n in tails]
    if len(set(lengths)) > 1:
        prompts[0] -= 1
    return [
        _example(n, [len(c) for c in e.candidates], len(e.answer))
        for n, e in zip(prompts, batch, strict=True)
    ]


def _tail_length(example: Encoded) -> int:
    """Return the largest number of tokens that a training step appends to an example's prompt."""
    return len(example.answer) or max(map(len, example.candidates), default=0)


def _example(prompt: int, candidates: Sequence[int], answer: int) -> Encoded:
    options = tuple((WORD,) * n for n in candidates)
    return Encoded((WORD,) * prompt, options, (WORD,) * answer, 0, prompt + max([answer, *candidates]))


def synthetic(lengths: Sequence[int], candidates: int = 2, answer: int = 0) -> list[Encoded]:
    """Return examples of the given lengths.

    Args:
        lengths: one length per example, in tokens, including the answer; if they differ, the batch is padded.
        candidates: number of one-token candidates, which are scored after the prompt.
        answer: length of the answer that teacher forcing trains on, in tokens, included in `lengths`; 0 if
            candidates are compared.
    """
    options = () if answer else ((WORD,),) * candidates
    return [Encoded((WORD,) * (n - answer), options, (WORD,) * answer, 0, n) for n in lengths]
