"""Scoring: candidate log-likelihoods, for both the training loss and evaluation.

    score(c | prompt) = (1/|c|) sum_t log p(c_t | prompt, c_<t)
    L = mean over examples of -log softmax_c score(c)[gold]       (classification)
    L = mean over examples of -score(answer | prompt)             (teacher forcing)

Malladi et al., arXiv 2305.17333, Appendix E. If every candidate is one token, one forward pass of the prompt
scores all of them. The released code runs one sequence per candidate and gets the same numbers;
`scoring="per_candidate"` does the same, for comparison. Log-likelihoods are computed in float32 from upcast
logits (in float64 if the model is float64).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from benchmarks.data.tokenize import Encoded
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
        # RoBERTa computes its positions from the padding, with an offset.
        self.give_positions = "roberta" not in self.model.config.model_type

    def loss(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the mean training loss of a batch: a float32 scalar, differentiable if gradients are on."""
        if self.head == "classification":
            return torch.nn.functional.cross_entropy(self._head_logits(batch), self._gold(batch))
        if self.task.loss == "teacher_forcing":
            sequences = [(e.prompt, e.answer) for e in batch]
            return -self._sequence_scores(sequences, self.scoring == "per_candidate").mean()
        return torch.nn.functional.cross_entropy(self._scores(batch), self._gold(batch))

    def _gold(self, batch: Sequence[Encoded]) -> Tensor:
        return torch.tensor([e.gold for e in batch], device=self.device)

    def _prompt_only(self, batch: Sequence[Encoded]) -> bool:
        return self.scoring == "shared" and all(e.one_token for e in batch)

    def candidate_scores(self, batch: Sequence[Encoded]) -> list[Tensor]:
        """Return each example's mean token log-likelihoods: float32, shape (candidates,), for evaluation.

        Longer candidates share the key-value cache of their prompt.
        """
        if self.head == "classification":
            return list(self._head_logits(batch).log_softmax(-1))
        if self.scoring == "shared" and not self._prompt_only(batch):
            return self._cached_scores(batch)
        return [s[: len(e.candidates)] for s, e in zip(self._scores(batch), batch, strict=True)]

    def _scores(self, batch: Sequence[Encoded]) -> Tensor:
        """Return float32 scores of shape (batch, most candidates); -inf if an example has fewer."""
        counts = [len(e.candidates) for e in batch]
        if self._prompt_only(batch) or self.loaded.family.masked:
            log_probs = self._last_logits([e.prompt for e in batch]).log_softmax(-1)
            tokens = [[c[0] for c in e.candidates] + [0] * (max(counts) - len(e.candidates)) for e in batch]
            scores = log_probs.gather(1, torch.tensor(tokens, device=log_probs.device))
        else:
            sequences = [(e.prompt, c) for e in batch for c in e.candidates]
            flat = self._sequence_scores(sequences, self.scoring == "per_candidate")
            scores = torch.nn.utils.rnn.pad_sequence(flat.split(counts), batch_first=True)
        real = torch.arange(scores.shape[1]) < torch.tensor(counts)[:, None]
        return scores.masked_fill(~real.to(scores.device), float("-inf"))

    def pad_left(self, sequences: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return model inputs: ids and mask, int64 of shape (batch, longest), padded on the left."""
        longest = max(len(s) for s in sequences)
        ids = torch.tensor([[self.pad] * (longest - len(s)) + list(s) for s in sequences])
        mask = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences])
        return self._inputs(ids, mask)

    def _inputs(self, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.give_positions:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return {name: value.to(self.device) for name, value in inputs.items()}

    def _inputs_without_needless_mask(self, sequences: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return model inputs, with a mask only if there is padding: reading a mask synchronizes a GPU."""
        inputs = self.pad_left(sequences)
        if len({len(s) for s in sequences}) == 1:
            del inputs["attention_mask"]
        return inputs

    def _last_logits(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Return the logits at the candidate's position: float32, shape (batch, vocabulary)."""
        inputs = self._inputs_without_needless_mask(prompts)
        if not self.loaded.family.masked:
            return upcast(self.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1])
        logits = self.model(**inputs).logits
        mask_id = self.loaded.tokenizer.mask_token_id
        # Every prompt has one mask. In the memory predictor's prompts, every token is a mask.
        behind = [p[::-1].index(mask_id) for p in prompts]
        if len(set(behind)) == 1:
            # In most batches, the same number of tokens follows every mask, so with padding on the left, all
            # masks have the same position.
            return upcast(logits[:, -1 - behind[0]])
        positions = logits.shape[1] - 1 - torch.tensor(behind, device=logits.device)
        return upcast(logits[torch.arange(len(prompts), device=logits.device), positions])

    def _head_logits(self, batch: Sequence[Encoded]) -> Tensor:
        longest = max(e.length for e in batch)
        if not self.loaded.family.masked:
            inputs = self._inputs_without_needless_mask([e.prompt for e in batch])
            return upcast(self.model(**inputs, use_cache=False).logits)
        ids = torch.tensor([list(e.prompt) + [self.pad] * (longest - e.length) for e in batch])
        inputs = {"input_ids": ids.to(self.device)}
        if any(e.length < longest for e in batch):
            mask = torch.tensor([[1] * e.length + [0] * (longest - e.length) for e in batch])
            inputs["attention_mask"] = mask.to(self.device)
        return upcast(self.model(**inputs).logits)

    def _sequence_scores(self, sequences: Sequence[tuple[tuple, tuple]], all_logits: bool) -> Tensor:
        """Return each continuation's mean log-likelihood after its prompt: float32, shape (sequences,)."""
        inputs = self._inputs_without_needless_mask([p + c for p, c in sequences])
        longest = max(len(c) for _, c in sequences)
        keep = 0 if all_logits else longest + 1
        logits = self.model(**inputs, use_cache=False, logits_to_keep=keep).logits
        # Continuations end together on the right; position t predicts token t + 1.
        log_probs = upcast(logits[:, :-1]).log_softmax(-1)[:, -longest:]
        targets = inputs["input_ids"][:, -longest:]
        each = log_probs.gather(-1, targets[..., None])[..., 0]
        return _mean_of_last(each, [len(c) for _, c in sequences])

    def _cached_scores(self, batch: Sequence[Encoded]) -> list[Tensor]:
        inputs = self.pad_left([e.prompt for e in batch])
        out = self.model(**inputs, use_cache=True, logits_to_keep=1)
        first = upcast(out.logits[:, -1]).log_softmax(-1)
        cache = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
        jobs = [(i, c) for i, e in enumerate(batch) for c in e.candidates]
        scores: list[Tensor] = []
        # Each sequence copies the cache, so at most max(len(batch), 8) sequences run at a time.
        for start in range(0, len(jobs), max(len(batch), 8)):
            part = jobs[start : start + max(len(batch), 8)]
            scores.append(self._continue(cache, first, inputs["attention_mask"], part))
        return list(torch.cat(scores).split([len(e.candidates) for e in batch]))

    def _continue(
        self,
        cache: list[tuple[Tensor, Tensor]],
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
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -(longest - 1) :]
            past = DynamicCache([(k[owner], v[owner]) for k, v in cache])
            logits = self.model(
                input_ids=ids[:, :-1],
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=True,
            ).logits
            scores.append(upcast(logits).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0])
        each = torch.cat(scores, 1) * real
        return each.sum(1) / real.sum(1)


def upcast(logits: Tensor) -> Tensor:
    """Return logits in at least float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _mean_of_last(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Return the mean of the last counts[i] entries of each row: shape (rows,)."""
    columns = torch.arange(values.shape[1], device=values.device)
    first = values.shape[1] - torch.tensor(counts, device=values.device)[:, None]
    selected = columns >= first
    return torch.where(selected, values, 0).sum(1) / selected.sum(1)
