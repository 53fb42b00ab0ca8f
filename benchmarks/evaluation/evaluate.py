"""Evaluation: metric, loss, and AUC of a model on encoded examples."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import takewhile
from unittest import mock

import torch
from sklearn.metrics import roc_auc_score
from transformers import GenerationConfig, PreTrainedTokenizerBase

from benchmarks.data.tokenize import Encoded, new_tokens
from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.padding import by_length
from benchmarks.evaluation.scoring import Scorer


@dataclass(frozen=True)
class Score:
    """The result of an evaluation.

    Attributes:
        score: the task's metric, in [0, 1].
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


@torch.no_grad()
def evaluate(scorer: Scorer, examples: Sequence[Encoded], batch_size: int) -> Score:
    """Score examples in batches of similar length, with dropout off; restore the model's mode afterward."""
    was_training = scorer.model.training
    scorer.model.eval()
    try:
        order = sorted(range(len(examples)), key=lambda i: examples[i].length)
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        if scorer.task.generative:
            return _evaluate_generation(scorer, examples, batches)
        return _evaluate_choice(scorer, examples, batches)
    finally:
        scorer.model.train(was_training)


def _evaluate_choice(scorer: Scorer, examples: Sequence[Encoded], batches: Sequence[Sequence[int]]) -> Score:
    correct, losses, margins = 0, [], []
    for batch in batches:
        members = [examples[i] for i in batch]
        for example, scores in zip(members, scorer.candidate_scores(members), strict=True):
            scores = scores.cpu()
            golds = [example.gold] if isinstance(example.gold, int) else example.gold
            correct += int(scores.argmax()) in golds
            if scorer.task.loss == "teacher_forcing":
                losses.append(-float(scores[golds].max()))
            else:
                losses.append(-float(scores.log_softmax(0)[golds].max()))
            if len(scores) == 2 and isinstance(example.gold, int):
                margins.append((example.gold, float(scores[1] - scores[0])))
    n = len(examples)
    auc = None
    if len(margins) == n and len({gold for gold, _ in margins}) == 2:
        gold, margin = zip(*margins, strict=True)
        finite = all(abs(m) < float("inf") for m in margin)
        auc = float(roc_auc_score(gold, margin)) if finite else None
    return Score(correct / n, sum(losses) / n, auc, n)


def _evaluate_generation(
    scorer: Scorer, examples: Sequence[Encoded], batches: Sequence[Sequence[int]]
) -> Score:
    metric = METRICS[scorer.task.metric]
    total, losses = 0.0, []
    for batch in batches:
        members = [examples[i] for i in batch]
        losses.append(float(scorer.loss(members)) * len(members))
        for example, text in zip(members, generate(scorer, members), strict=True):
            total += metric(text, example.gold)
    return Score(total / len(examples), sum(losses) / len(examples), None, len(examples))


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
