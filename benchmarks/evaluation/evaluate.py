"""Evaluation: metric, loss, and AUC of a model on encoded examples."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple
from unittest import mock

import torch
from sklearn.metrics import roc_auc_score
from transformers import GenerationConfig, PreTrainedTokenizerBase

from addax.assignment import assign
from benchmarks.data.tokenize import Encoded, new_tokens
from benchmarks.evaluation.class_metrics import CLASS_METRICS, Answer
from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.padding import by_length
from benchmarks.evaluation.scoring import Scorer


@dataclass(frozen=True)
class Score:
    """The result of an evaluation.

    Attributes:
        score: the task's metric: Matthews correlation in [-1, 1], any other metric in [0, 1].
        loss: mean training loss; an example with several correct candidates counts the most likely one.
        auc: area under the ROC curve of the second candidate's log-odds; None unless there are two
            candidates and each of them is correct for some example.
        n: number of examples.
    """

    score: float
    loss: float
    auc: float | None
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the fields as a result row stores them."""
        return asdict(self)


class Result(NamedTuple):
    """The result of one example.

    Attributes:
        score: the metric of a generated answer, else whether the chosen candidate is correct, in [0, 1].
        loss: the training loss, see `Score`.
        answer: the correct and the chosen class; None unless exactly one of several candidates is correct.
        margin: index of the correct candidate, and the second candidate's log-odds; None unless there are two
            candidates and one of them is correct.
    """

    score: float
    loss: float
    answer: Answer | None = None
    margin: tuple[int, float] | None = None


def evaluate(scorer: Scorer, examples: Sequence[Encoded], batch_size: int) -> Score:
    """Score examples in batches of similar length, with dropout off; restore the model's mode afterward."""
    return evaluate_each(scorer, examples, batch_size)[0]


@torch.no_grad()
def evaluate_each(scorer: Scorer, examples: Sequence[Encoded], batch_size: int) -> tuple[Score, list[Result]]:
    """Score examples like `evaluate`; return the score of all, and the result of each one in their order."""
    was_training = scorer.model.training
    scorer.model.eval()
    try:
        order = sorted(range(len(examples)), key=lambda i: examples[i].length)
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        parts = []
        # The longest batch comes first: if it fits in memory, so do the others.
        for batch in reversed(batches):
            members = [examples[i] for i in batch]
            parts.append(_generated(scorer, members) if scorer.task.generative else _chosen(scorer, members))
        # The order of the sums is part of a score, because the sum of floats depends on it.
        results = [result for found, _ in reversed(parts) for result in found]
        losses = [loss for _, loss in reversed(parts) if loss is not None]
        of = dict(zip(order, results, strict=True))
        score = score_of(results, scorer.task.metric, losses or None)
        return score, [of[i] for i in range(len(examples))]
    finally:
        scorer.model.train(was_training)


def score_of(results: Sequence[Result], metric: str, losses: Sequence[float] | None = None) -> Score:
    """Return the score of the examples with these results.

    Args:
        results: the result of each example; at least one.
        metric: name of the metric. Those of `CLASS_METRICS` need all answers; the others are means.
        losses: sums of losses that together cover the examples; None sums those of the results.
    """
    n = len(results)
    if metric in CLASS_METRICS:
        score = CLASS_METRICS[metric]([result.answer for result in results])
    else:
        score = _mean(results)
    margins = [result.margin for result in results if result.margin is not None]
    auc = None
    if len(margins) == n and len({gold for gold, _ in margins}) == 2:
        gold, margin = zip(*margins, strict=True)
        finite = all(abs(m) < float("inf") for m in margin)
        auc = float(roc_auc_score(gold, margin)) if finite else None
    losses = [result.loss for result in results] if losses is None else losses
    return Score(score, sum(losses) / n, auc, n)


def _mean(results: Sequence[Result]) -> float:
    total = 0.0
    for result in results:
        total += result.score
    return total / len(results)


def scores_by_length(
    examples: Sequence[Encoded], results: Sequence[Result], metric: str, tokens: int | None
) -> tuple[Score | None, Score | None]:
    """Return the score on the examples of more than `tokens` tokens, and the score on the others.

    Args:
        examples: the examples; at least one.
        results: their results.
        metric: name of the metric.
        tokens: the number of tokens; None for two times None.

    Returns:
        None for a part without examples.
    """
    long, short = ([results[i] for i in indices] for indices in long_and_short(examples, tokens))
    return score_of(long, metric) if long else None, score_of(short, metric) if short else None


def long_and_short(examples: Sequence[Encoded], tokens: int | None) -> tuple[Sequence[int], Sequence[int]]:
    """Return the indices of the examples of more than `tokens` tokens, and those of the others.

    Both are empty if `tokens` is None.
    """
    if tokens is None:
        return (), ()
    part = assign([example.length for example in examples], tokens)
    return part.zo, part.fo


def _chosen(scorer: Scorer, batch: Sequence[Encoded]) -> tuple[list[Result], None]:
    """Return the results of a batch whose candidates are compared; their losses are in the results."""
    results, found = [], scorer.candidate_scores(batch)
    # One copy per batch, because each copy waits for the device.
    of_example = torch.cat(found).cpu().split([len(scores) for scores in found])
    for example, scores in zip(batch, of_example, strict=True):
        golds = [example.gold] if isinstance(example.gold, int) else example.gold
        chosen = int(scores.argmax())
        each = scores if scorer.task.loss == "teacher_forcing" else scores.log_softmax(0)
        answer = margin = None
        if isinstance(example.gold, int):
            answer = Answer(example.gold, chosen, len(scores))
            if len(scores) == 2:
                margin = (example.gold, float(scores[1] - scores[0]))
        results.append(Result(float(chosen in golds), -float(each[golds].max()), answer, margin))
    return results, None


def _generated(scorer: Scorer, batch: Sequence[Encoded]) -> tuple[list[Result], float]:
    """Return the results of a batch whose answers are generated, and the sum of its losses."""
    metric = METRICS[scorer.task.metric]
    losses = -scorer.answer_scores(batch).cpu()
    texts = generate(scorer, batch)
    results = [
        Result(metric(text, example.gold), loss)
        for example, text, loss in zip(batch, texts, losses.tolist(), strict=True)
    ]
    return results, float(losses.mean()) * len(batch)


def generate(scorer: Scorer, batch: Sequence[Encoded]) -> list[str]:
    """Return greedy continuations of the prompts, up to a newline, the EOS token, or `new_tokens`.

    The model's own generation settings (penalties, sampling, beams, forced tokens) have no effect.
    """
    prompts = [e.prompt for e in batch]
    groups = [list(range(len(batch)))] if scorer.padding.side == "left" else by_length(prompts)
    texts = [""] * len(batch)
    for group in groups:
        for i, text in zip(group, _continue(scorer, [prompts[i] for i in group]), strict=True):
            texts[i] = text
    return texts


def _continue(scorer: Scorer, prompts: Sequence[Sequence[int]]) -> list[str]:
    inputs = scorer.padding.inputs(prompts, always_mask=True)
    # generate() computes the positions from the attention mask.
    inputs.pop("position_ids", None)
    tokenizer = scorer.loaded.tokenizer
    eos = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=new_tokens(scorer.task, scorer.loaded),
        eos_token_id=[*_newline_tokens(tokenizer), *eos],
        pad_token_id=scorer.pad,
    )
    # generate() takes what `settings` leaves open from the model's own settings.
    with mock.patch.object(scorer.model, "generation_config", GenerationConfig()):
        out = scorer.model.generate(**inputs, generation_config=settings)
    start = inputs["input_ids"].shape[1]
    new = [list(takewhile(lambda token: token not in eos, row[start:])) for row in out.tolist()]
    return [text.split("\n", 1)[0] for text in tokenizer.batch_decode(new, skip_special_tokens=True)]


@lru_cache(maxsize=4)
def _newline_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return every token whose text contains a newline."""
    ids = sorted(tokenizer.get_vocab().values())
    return tuple(
        i for i, text in zip(ids, tokenizer.batch_decode([[i] for i in ids]), strict=True) if "\n" in text
    )
