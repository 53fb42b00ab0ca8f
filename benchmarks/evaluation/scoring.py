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

import copy
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from transformers import Cache

from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.padding import Padding, evaluating, is_close, positions
from benchmarks.models import LoadedModel
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

    def loss(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the mean training loss of a batch: a float32 scalar, differentiable if gradients are on."""
        if self.head == "classification":
            return torch.nn.functional.cross_entropy(self._head_logits(batch), self._gold(batch))
        if self.task.loss == "teacher_forcing":
            return -self.answer_scores(batch).mean()
        return torch.nn.functional.cross_entropy(self._scores(batch), self._gold(batch))

    def answer_scores(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the mean token log-likelihood of each example's answer: float32, shape (batch,)."""
        sequences = [(e.prompt, e.answer) for e in batch]
        return self._sequence_scores(sequences, self.scoring == "per_candidate")

    def _gold(self, batch: Sequence[Encoded]) -> Tensor:
        return torch.tensor([e.gold for e in batch], device=self.device)

    def _prompt_only(self, batch: Sequence[Encoded]) -> bool:
        return self.scoring == "shared" and all(e.one_token for e in batch)

    def candidate_scores(self, batch: Sequence[Encoded]) -> list[Tensor]:
        """Return each example's mean token log-likelihoods: float32, shape (candidates,), for evaluation.

        Longer candidates share the key-value cache of their prompt, if the model has one.
        """
        if self.head == "classification":
            return list(self._head_logits(batch).log_softmax(-1))
        if self.scoring == "shared" and not self._prompt_only(batch) and self._continues_prompts:
            return self._cached_scores(batch)
        return [s[: len(e.candidates)] for s, e in zip(self._scores(batch), batch, strict=True)]

    def _scores(self, batch: Sequence[Encoded]) -> Tensor:
        """Return float32 scores of shape (batch, most candidates); -inf if an example has fewer."""
        counts = [len(e.candidates) for e in batch]
        if self._prompt_only(batch) or self.loaded.family.masked:
            logits = self._mask_logits if self.loaded.family.masked else self._last_logits
            log_probs = self._grouped(batch, logits).log_softmax(-1)
            tokens = [[c[0] for c in e.candidates] + [0] * (max(counts) - len(e.candidates)) for e in batch]
            scores = log_probs.gather(1, torch.tensor(tokens, device=log_probs.device))
        else:
            sequences = [(e.prompt, c) for e in batch for c in e.candidates]
            flat = self._sequence_scores(sequences, self.scoring == "per_candidate")
            scores = torch.nn.utils.rnn.pad_sequence(flat.split(counts), batch_first=True)
        real = torch.arange(scores.shape[1]) < torch.tensor(counts)[:, None]
        return scores.masked_fill(~real.to(scores.device), float("-inf"))

    def _grouped(self, batch: Sequence[Encoded], run: Callable[[Sequence[Encoded]], Tensor]) -> Tensor:
        """Return `run`'s rows for a batch, computed together as far as the model's padding allows."""
        groups = self.padding.groups([e.prompt for e in batch])
        if len(groups) == 1:
            return run(batch)
        rows = torch.cat([run([batch[i] for i in group]) for group in groups])
        order = torch.tensor([i for group in groups for i in group])
        return rows[order.argsort().to(rows.device)]

    def _last_logits(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the logits after each prompt: float32, shape (batch, vocabulary)."""
        lengths = [len(e.prompt) for e in batch]
        keep = 1 if self.padding.side == "left" else max(lengths) - min(lengths) + 1
        inputs = self.padding.inputs([e.prompt for e in batch])
        logits = self.padding.call(inputs, use_cache=False, logits_to_keep=keep).logits
        return upcast(self.padding.last(logits, lengths, 1)[:, 0])

    def _mask_logits(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the logits at each prompt's mask: float32, shape (batch, vocabulary)."""
        mask_id = self.loaded.tokenizer.mask_token_id
        logits = self.padding.call(self._encoder_inputs(batch)).logits
        # Every prompt has one mask. In the memory predictor's prompts, every token is a mask.
        behind = [e.prompt[::-1].index(mask_id) for e in batch]
        ends = [logits.shape[1] if self.padding.side == "left" else len(e.prompt) for e in batch]
        # In most batches padded on the left, the same number of tokens follows every mask.
        columns = [end - 1 - n for end, n in zip(ends, behind, strict=True)]
        if len(set(columns)) == 1:
            return upcast(logits[:, columns[0]])
        rows = torch.arange(len(batch), device=logits.device)
        return upcast(logits[rows, torch.tensor(columns, device=logits.device)])

    def _head_logits(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the logits of the classes: float32, shape (batch, classes)."""
        return self._grouped(
            batch, lambda part: upcast(self.padding.call(self._encoder_inputs(part), use_cache=False).logits)
        )

    def _encoder_inputs(self, batch: Sequence[Encoded]) -> dict[str, Tensor]:
        return self.padding.inputs([e.prompt for e in batch], [e.types for e in batch])

    def _sequence_scores(self, sequences: Sequence[tuple[tuple, tuple]], all_logits: bool) -> Tensor:
        """Return each continuation's mean log-likelihood after its prompt: float32, shape (sequences,)."""
        lengths = [len(p) + len(c) for p, c in sequences]
        longest = max(len(c) for _, c in sequences)
        inputs = self.padding.inputs([p + c for p, c in sequences])
        # Position t predicts token t + 1. With padding on the left, continuations end together.
        unused = min(len(p) for p, _ in sequences) if self.padding.side == "right" else max(lengths) - longest
        keep = 0 if all_logits else max(lengths) - unused + 1
        logits = self.padding.call(inputs, use_cache=False, logits_to_keep=keep).logits
        ends = [n - 1 for n in lengths]
        log_probs = self.padding.last(upcast(logits[:, :-1]).log_softmax(-1), ends, longest)
        targets = self.padding.last(inputs["input_ids"], lengths, longest)
        each = log_probs.gather(-1, targets[..., None])[..., 0]
        return _mean_of_last(each, [len(c) for _, c in sequences])

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
            return is_close(torch.stack(self._cached_scores(probe)), self._scores(probe))

    def _cached_scores(self, batch: Sequence[Encoded]) -> list[Tensor]:
        inputs = self.padding.inputs([e.prompt for e in batch], always_mask=True)
        out = self.padding.call(inputs, use_cache=True, logits_to_keep=1)
        first = upcast(out.logits[:, -1]).log_softmax(-1)
        jobs = [(i, c) for i, e in enumerate(batch) for c in e.candidates]
        scores: list[Tensor] = []
        # Each sequence copies the cache, so at most max(len(batch), 8) sequences run at a time.
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
        owner = torch.tensor([i for i, _ in jobs], device=self.device)
        longest = max(len(c) for _, c in jobs)
        lengths = [len(c) for _, c in jobs]
        ids = torch.tensor([list(c) + [self.pad] * (longest - len(c)) for _, c in jobs], device=self.device)
        real = torch.arange(longest, device=self.device) < torch.tensor(lengths, device=self.device)[:, None]
        scores = [first[owner].gather(-1, ids[:, :1])]
        if longest > 1:
            mask = torch.cat([prompt_mask[owner], real[:, :-1].long()], 1)
            inputs = {"input_ids": ids[:, :-1], "attention_mask": mask}
            out = self.padding.call(
                inputs,
                position_ids=positions(mask)[:, -(longest - 1) :],
                past_key_values=_rows(cache, owner),
                use_cache=True,
            )
            scores.append(upcast(out.logits).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0])
        each = torch.cat(scores, 1) * real
        return each.sum(1) / real.sum(1)


def _rows(cache: Cache, rows: Tensor) -> Cache:
    """Return the given rows of a cache of any kind; the cache itself keeps its values."""
    selected = copy.copy(cache)
    # Layers with a sliding window or a recurrent state also hold counters and lists.
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in selected.layers:
        for name, value in vars(layer).items():
            if isinstance(value, (list, dict)):
                setattr(layer, name, copy.copy(value))
    selected.reorder_cache(rows)
    return selected


def upcast(logits: Tensor) -> Tensor:
    """Return logits in at least float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _mean_of_last(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the mean of the last counts[i] entries of each row: shape (rows,)."""
    columns = torch.arange(values.shape[1], device=values.device)
    first = values.shape[1] - torch.tensor(counts, device=values.device)[:, None]
    selected = columns >= first
    return torch.where(selected, values, 0).sum(1) / selected.sum(1)
