"""The pretraining corpus of the nano models: lines of the built-in language, in batches of similar length.

A line is a prompt with its continuation, or a series of lessons (`synthetic.lessons`) with their answers. The
answers are about one token in sixty, and they are the only tokens that depend on a relation in the text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch

from benchmarks import registry
from benchmarks.synthetic.lessons import lesson
from benchmarks.tasks import _language, load
from benchmarks.tasks._usage import CORPUS, FAMILIAR, Usage

IGNORED = -100
# The committed weights were trained on these tasks, in this order.
OPINIONS = ("boolq", "cb", "multirc", "rte", "sst2", "wsc")
TASKS = ("boolq", "cb", "multirc", "record", "rte", "squad", "sst2", "wic", "wsc")
Line = tuple[list[int], list[bool]]


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of pretraining.

    Attributes:
        steps: number of steps of the two optimizers.
        batch_tokens: maximum number of tokens per step, including padding.
        lessons: share of lines that are lessons during the first part of training.
        later_lessons: share of lines that are lessons after that.
        schooling: length of the first part, as a fraction of the steps.
        unlike: probability that the two remarks of a story differ in kind, during the first part. The fewer
            differ, the sooner the model learns what the words mean, and then to select a remark.
        opinions_only: length of an initial part with `OPINIONS` only, as a fraction of the steps. Other tasks
            can delay the learning of selection by order.
        matrix_lr: peak learning rate of Muon, which trains the layers' matrices.
        lr: peak learning rate of AdamW, which trains the other weights; both rates warm up linearly and decay
            with a cosine to a tenth.
        warmup: number of warm-up steps.
        text_weight: weight of the mean loss of the other tokens, relative to that of the answers.
        seed: seed of the initial weights and the corpus.
        left_to_right: number of initial steps in which a masked model uses a causal attention mask.
        masked_after: number of initial steps, within `left_to_right`, in which it predicts each answer from
            the token before it, like a causal model; in the remaining steps of `left_to_right`, it predicts
            masked answers in place.
        turning: number of steps after `left_to_right` over which the causal mask is gradually removed.
        answer_mask_rate: share of a masked model's lines in which only the answers are masked.
        mask_rate: share of tokens that are masked in its other lines.
    """

    steps: int = 4000
    batch_tokens: int = 3200
    lessons: float = 0.95
    later_lessons: float = 0.5
    schooling: float = 0.65
    unlike: float = 0.9
    opinions_only: float = 0.0
    matrix_lr: float = 2e-2
    lr: float = 3e-3
    warmup: int = 100
    text_weight: float = 0.5
    seed: int = 0
    left_to_right: int = 0
    masked_after: int = 0
    turning: int = 0
    answer_mask_rate: float = 0.6
    mask_rate: float = 0.2


@dataclass
class Batch:
    """A batch of lines. All tensors are (batch, seq); labels are `IGNORED` at positions without a loss.

    Attributes:
        input_ids: token ids, padded on the right.
        attention_mask: 1 for tokens and 0 for padding.
        answer_labels: the ids of answer tokens, which follow from the text before them.
        text_labels: the ids of the other tokens.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    answer_labels: torch.Tensor
    text_labels: torch.Tensor


def encode(
    lines: list[Line],
    tokenizer: Any,
    *,
    mask_answers: bool = False,
    masks: tuple[Random, Recipe] | None = None,
) -> Batch:
    """Pad lines to a batch and apply masks.

    Args:
        lines: at least one pair of token ids, with special tokens, and flags that mark answer tokens.
        tokenizer: supplies the padding and mask tokens.
        mask_answers: whether to mask the answers and no other tokens.
        masks: a generator and a recipe, to mask the answers of some lines and some of the text of the others.
            No line has both, because a mask in the text could hide the part on which an answer depends.
    """
    longest = max(len(ids) for ids, _ in lines)
    inputs, answers, texts = [], [], []
    for ids, follows in lines:
        trained = [i > 0 for i in range(len(ids))]
        hidden = follows if mask_answers else [False] * len(ids)
        if masks is not None:
            rng, recipe = masks
            only_answers = rng.random() < recipe.answer_mask_rate
            follows = [f and only_answers for f in follows]
            trained = [
                not only_answers and 0 < i < len(ids) - 1 and rng.random() < recipe.mask_rate
                for i in range(len(ids))
            ]
            hidden = [f or h for f, h in zip(follows, trained, strict=True)]
        visible = [tokenizer.mask_token_id if h else t for t, h in zip(ids, hidden, strict=True)]
        padding = longest - len(ids)
        inputs.append(visible + [tokenizer.pad_token_id] * padding)
        answers.append([t if f else IGNORED for t, f in zip(ids, follows, strict=True)] + [IGNORED] * padding)
        text = [t if h and not f else IGNORED for t, f, h in zip(ids, follows, trained, strict=True)]
        texts.append(text + [IGNORED] * padding)
    lengths = torch.tensor([len(ids) for ids, _ in lines])
    mask = (torch.arange(longest)[None] < lengths[:, None]).long()
    return Batch(torch.tensor(inputs), mask, torch.tensor(answers), torch.tensor(texts))


def line(task_name: str, rng: Random, lessons: float, usage: Usage, bare: bool) -> list[tuple[str, str]]:
    """Return (text, continuation) pairs: a lesson with probability `lessons`, otherwise one prompt.

    For a task without a passage, whose lesson is a single prompt, several lessons are joined to one line.
    """
    module = registry.module("task", task_name)
    story = hasattr(module, "scene")
    if rng.random() >= lessons:
        row = module.ask(rng, *module.scene(rng, usage), usage) if story else module.draw(rng, usage)
        lead, answer = _language.continuation(task_name, row, rng)
        return [(load(task_name).prompt(row) + lead, answer)]
    pairs = lesson(task_name, rng, usage, bare)
    if not story:
        while sum(len(_language.tokens(text + answer)) for text, answer in pairs) < 90:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + "\n")
            pairs += lesson(task_name, rng, usage, bare)
    return pairs


def batches(
    tokenizer: Any, masked: bool, recipe: Recipe, steps: int, name: str = "corpus"
) -> Iterator[list[Line]]:
    """Yield batches of lines of similar length, without end.

    Args:
        tokenizer: the model's tokenizer.
        masked: whether the model is a masked LM, which cannot generate continuations of several tokens.
        recipe: seed and mixture.
        steps: total number of steps. Lessons become rarer after the fraction `recipe.schooling` of them;
            until then stories become longer.
        name: name of the corpus; different names give different corpora.
    """
    rng = Random(f"{name} {recipe.seed}")
    # A masked model is not trained on tasks that it cannot answer.
    every = [name for name in TASKS if not masked or load(name).loss == "classification"]
    yielded = 0
    while True:
        progress = yielded / steps / recipe.schooling
        names = OPINIONS if yielded < recipe.opinions_only * steps else every
        lessons = recipe.lessons if progress < 1 else recipe.later_lessons
        usage = replace(FAMILIAR, unlike=recipe.unlike) if progress < 1 else CORPUS
        lines = []
        for i in range(256):
            bare = progress < 1 and rng.random() < 0.8 * (1 - progress)
            pairs = line(names[i % len(names)], rng, lessons, usage, bare)
            ids = tokenizer("".join(text + answer for text, answer in pairs)).input_ids
            follows = [f for p in pairs for f in (False, True) for _ in _language.tokens(p[f])]
            lines.append((ids, [False, *follows, False][: len(ids)]))
        # Random noise on the lengths makes a batch mix tasks.
        lines.sort(key=lambda line: len(line[0]) + 20 * rng.random())
        groups = [[]]
        for entry in lines:
            if (len(groups[-1]) + 1) * len(entry[0]) > recipe.batch_tokens:
                groups.append([])
            groups[-1].append(entry)
        rng.shuffle(groups)
        yield from groups
        yielded += len(groups)
