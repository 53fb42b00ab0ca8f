"""Scoring: candidate log-likelihoods, for both the training loss and evaluation.

    score(c | prompt) = (1/|c|) sum_t log p(c_t | prompt, c_<t)
    L = mean over examples of -log softmax_c score(c)[gold]       (classification)
    L = mean over examples of -score(answer | prompt)             (teacher forcing)

Malladi et al., arXiv 2305.17333, Appendix E. If every candidate is one token, one forward pass of the prompt
scores all of them. The released code runs one sequence per candidate and gets the same numbers;
`scoring="per_candidate"` does the same, for comparison. Log-likelihoods are computed in float32 from upcast
logits (in float64 if the model is float64). A score does not depend on the other examples of a batch
(`benchmarks/evaluation/padding.py`).
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Cache

from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.continued_cache import continued
from benchmarks.evaluation.padding import PROBE, Padding, is_close, passes, positions
from benchmarks.evaluation.passes import (
    Candidates,
    Continuations,
    PromptPass,
    Prompts,
    TrainingBatch,
    continuations,
    prompts,
    read,
    read_last,
)
from benchmarks.evaluation.transfer import on_device
from benchmarks.evaluation.vocabulary_head import reading_only, vocabulary_head
from benchmarks.models import LoadedModel
from benchmarks.models._mode import evaluating
from benchmarks.tasks import Task

SCORINGS = ("shared", "per_candidate")


class Scorer:
    """Losses and candidate scores of a model on encoded examples.

    Args:
        loaded: the model.
        task: the task, which defines the loss.
        head: "lm" or "classification".
        scoring: "shared", or "per_candidate" for the released procedure.
    """

    def __init__(self, loaded: LoadedModel, task: Task, head: str = "lm", scoring: str = "shared") -> None:
        self.loaded = loaded
        self.model = loaded.model
        self.task = task
        self.head = head
        self.scoring = scoring
        self.device = next(self.model.parameters()).device
        tokenizer = loaded.tokenizer
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.padding = Padding(
            self.model,
            self.pad,
            causal=not loaded.family.masked,
            head=head == "classification",
            name=loaded.name,
        )
        self._masked = loaded.family.masked and head == "lm"
        self._mask_head = vocabulary_head(self.model) if self._masked else None
        if self._mask_head is not None and self.device.type != "meta" and not passes(self._reads_only_masks):
            self._mask_head = None

    def prepare(self, examples: Sequence[Encoded]) -> TrainingBatch:
        """Return a training batch for `loss`, whose tensors are on the model's device."""
        gold = None
        if self.head == "classification":
            reads = self._head_prompts(examples)
        elif self.task.loss == "teacher_forcing":
            reads = self._answers(examples)
        else:
            reads = self._candidates(examples)
        if self.head == "classification" or self.task.loss != "teacher_forcing":
            gold = on_device([e.gold for e in examples], self.device)
        return TrainingBatch(tuple(examples), reads, gold)

    def loss(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the mean training loss of a batch: a float32 scalar, differentiable if gradients are on.

        A batch from `prepare` can be scored any number of times, and no time makes a GPU's host wait.
        """
        prepared = batch if isinstance(batch, TrainingBatch) else self.prepare(batch)
        if isinstance(prepared.passes, Continuations):
            return -self._continuation_scores(prepared.passes).mean()
        if isinstance(prepared.passes, Candidates):
            return cross_entropy(self._scores(prepared.passes), prepared.gold)
        return cross_entropy(self._head_logits(prepared.passes), prepared.gold)

    def answer_scores(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the mean token log-likelihood of each example's answer: float32, shape (batch,)."""
        return self._continuation_scores(self._answers(batch))

    def candidate_scores(self, batch: Sequence[Encoded]) -> list[Tensor]:
        """Return each example's mean token log-likelihoods: float32, shape (candidates,), for evaluation.

        Longer candidates share the key-value cache of their prompt, if the model has one.
        """
        if self.head == "classification":
            return list(self._head_logits(self._head_prompts(batch)).log_softmax(-1))
        if self.scoring == "shared" and not self._prompt_only(batch) and self._continues_prompts:
            return self._cached_scores(batch)
        return [s[: len(e.candidates)] for s, e in zip(self._table(batch), batch, strict=True)]

    def _prompt_only(self, batch: Sequence[Encoded]) -> bool:
        return self._masked or (self.scoring == "shared" and all(e.one_token for e in batch))

    def _head_prompts(self, batch: Sequence[Encoded]) -> Prompts:
        # A head reads the position of its choice.
        return prompts(self.padding, batch, [0] * len(batch))

    def _answers(self, batch: Sequence[Encoded]) -> Continuations:
        return self._continuations([(e.prompt, e.answer) for e in batch])

    def _continuations(self, sequences: Sequence[tuple[tuple, tuple]]) -> Continuations:
        return continuations(self.padding, sequences, all_logits=self.scoring == "per_candidate")

    def _candidates(self, batch: Sequence[Encoded]) -> Candidates:
        sizes = tuple(len(e.candidates) for e in batch)
        most, tokens = max(sizes), None
        if self._prompt_only(batch):
            # Every masked prompt has one mask. In the memory predictor's prompts, every token is a mask.
            mask = self.loaded.tokenizer.mask_token_id
            behind = [e.prompt[::-1].index(mask) if self._masked else 0 for e in batch]
            reads = prompts(self.padding, batch, behind)
            table = [[c[0] for c in e.candidates] + [0] * (most - len(e.candidates)) for e in batch]
            tokens = on_device(table, self.device)
        else:
            reads = self._continuations([(e.prompt, c) for e in batch for c in e.candidates])
        real = on_device([[i < n for i in range(most)] for n in sizes], self.device)
        return Candidates(reads, tokens, real, sizes)

    def _table(self, batch: Sequence[Encoded]) -> Tensor:
        return self._scores(self._candidates(batch))

    def _scores(self, candidates: Candidates) -> Tensor:
        """Return float32 scores of shape (batch, most candidates); -inf if an example has fewer."""
        if isinstance(candidates.passes, Prompts):
            logits = self._rows(candidates.passes, self._mask_logits if self._masked else self._last_logits)
            scores = logits.log_softmax(-1).gather(1, candidates.tokens)
        else:
            flat = self._continuation_scores(candidates.passes)
            scores = torch.nn.utils.rnn.pad_sequence(flat.split(candidates.sizes), batch_first=True)
        return scores.masked_fill(~candidates.real, float("-inf"))

    def _rows(self, reads: Prompts, run: Callable[[PromptPass], Tensor]) -> Tensor:
        """Return `run`'s rows for all passes, in the order of the batch."""
        if reads.order is None:
            return run(*reads.passes)
        return torch.cat([run(part) for part in reads.passes])[reads.order]

    def _last_logits(self, part: PromptPass) -> Tensor:
        """Return the logits after each prompt: float32, shape (batch, vocabulary)."""
        logits = self.padding.forward(part.inputs, logits_to_keep=part.keep).logits
        return upcast(read(logits, part.behind))

    def _mask_logits(self, part: PromptPass) -> Tensor:
        """Return the logits at each prompt's mask: float32, shape (batch, vocabulary)."""
        if self._mask_head is None:
            return upcast(read(self.padding.forward(part.inputs).logits, part.behind))
        with reading_only(self._mask_head, part.behind):
            return upcast(self.padding.forward(part.inputs).logits[:, 0])

    def _reads_only_masks(self) -> bool:
        """Whether the head computes equal logits if it gets the masks' positions only."""
        words = self.padding.words(PROBE + 1)
        behind = [1, 3]
        rows = words if self.padding.side != "none" else words[:-1]
        probe = [Encoded(tuple(p), (), (), 0, len(p)) for p in (words[:PROBE], rows)]
        (part,) = prompts(self.padding, probe, behind).passes
        with evaluating(self.model):
            found, head = self._mask_logits(part), self._mask_head
            self._mask_head = None
            expected = self._mask_logits(part)
            self._mask_head = head
            return found.shape == expected.shape and is_close(found, expected)

    def _head_logits(self, reads: Prompts) -> Tensor:
        """Return the logits of the classes: float32, shape (batch, classes)."""
        return self._rows(reads, lambda part: upcast(self.padding.forward(part.inputs).logits))

    def _continuation_scores(self, reads: Continuations) -> Tensor:
        """Return each continuation's mean log-likelihood after its prompt: float32, shape (sequences,)."""
        logits = self.padding.forward(reads.inputs, logits_to_keep=reads.keep).logits
        log_probs = read_last(upcast(logits[:, :-1]).log_softmax(-1), reads.columns)
        each = log_probs.gather(-1, reads.targets[..., None])[..., 0]
        return torch.where(reads.scored, each, 0).sum(1) / reads.counts

    @cached_property
    def _continues_prompts(self) -> bool:
        """Whether continuing a cached prompt gives the same scores as running whole sequences."""
        if self.padding.side != "left" or "use_cache" not in self.padding.accepted:
            return False
        one, two, three, four, *prompt = self.padding.words(9)
        candidates = ((one, two), (three, one, four))
        probe = [Encoded(tuple(p), candidates, (), 0, len(p) + 3) for p in (prompt[:3], prompt)]
        with evaluating(self.model):
            out = self.padding.call(self.padding.inputs([prompt]), use_cache=True)
            if not hasattr(getattr(out, "past_key_values", None), "layers"):
                return False
            return is_close(torch.stack(self._cached_scores(probe)), self._table(probe))

    def _cached_scores(self, batch: Sequence[Encoded]) -> list[Tensor]:
        inputs = self.padding.inputs([e.prompt for e in batch], always_mask=True)
        out = self.padding.call(inputs, use_cache=True, logits_to_keep=1)
        first = upcast(out.logits[:, -1]).log_softmax(-1)
        jobs = [(i, c) for i, e in enumerate(batch) for c in e.candidates]
        scores: list[Tensor] = []
        # Each sequence copies a layer of the cache, so at most max(len(batch), 8) of them run at a time.
        for start in range(0, len(jobs), max(len(batch), 8)):
            part = jobs[start : start + max(len(batch), 8)]
            scores.append(self._continue(out.past_key_values, first, inputs["attention_mask"], part))
        return list(torch.cat(scores).split([len(e.candidates) for e in batch]))

    def _continue(
        self,
        cache: Cache,
        first: Tensor,
        prompt_mask: Tensor,
        jobs: Sequence[tuple[int, tuple[int, ...]]],
    ) -> Tensor:
        """Return the scores of (row of the cache, continuation) pairs: float32, shape (jobs,)."""
        longest = max(len(c) for _, c in jobs)
        owner = on_device([i for i, _ in jobs], self.device)
        ids = on_device([[*c, *[self.pad] * (longest - len(c))] for _, c in jobs], self.device)
        real = on_device([[i < len(c) for i in range(longest)] for _, c in jobs], self.device)
        scores = [first[owner].gather(-1, ids[:, :1])]
        if longest > 1:
            mask = torch.cat([prompt_mask[owner], real[:, :-1].long()], 1)
            inputs = {"input_ids": ids[:, :-1], "attention_mask": mask}
            out = self.padding.call(
                inputs,
                position_ids=positions(mask)[:, -(longest - 1) :],
                past_key_values=continued(cache, owner),
                use_cache=True,
            )
            scores.append(upcast(out.logits).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0])
        each = torch.cat(scores, 1) * real
        return each.sum(1) / real.sum(1)


def upcast(logits: Tensor) -> Tensor:
    """Return logits in at least float32."""
    return logits if logits.dtype == torch.float64 else logits.float()
