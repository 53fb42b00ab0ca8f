"""The corpus of the nano models: lines of the built-in language, in batches of about one length.

A line is a prompt and what follows it, or lessons (`synthetic.lessons`) with the answers that follow
from each. What follows is one token in sixty and the only one that a relation decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from benchmarks import registry
from benchmarks.synthetic.lessons import lesson
from benchmarks.tasks import _language, load

IGNORED = -100
# What the committed weights were trained on, in this order.
TASKS = ("boolq", "cb", "multirc", "record", "rte", "squad", "sst2", "wic", "wsc")
Line = tuple[list[int], list[bool]]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a model learns.

    Attributes:
        steps: of the two optimizers.
        batch_tokens: of a step, padding included.
        lessons: share of lines that are lessons, for the first part of the steps.
        later_lessons: the same share afterwards.
        schooling: that part.
        matrix_lr: peak learning rate of Muon, for the layers' matrices.
        lr: peak learning rate of AdamW, for the rest; both rates warm up linearly and decay as a cosine
            to a tenth.
        warmup: steps.
        text_weight: weight of the other tokens' mean loss beside the continuation's.
        seed: of initial weights and corpus.
        left_to_right: steps, at first, in which a masked model sees what stands before a token alone.
        masked_after: of these, those in which it predicts answers as a causal model does, from the token
            before; in the others they are masked, and predicted where they stand.
        turning: steps after these, over which it comes to look both ways.
        asked: share of a masked model's lines whose answers are masked, and nothing else.
        mask_rate: share of the tokens masked in its other lines.
    """

    steps: int = 2000
    batch_tokens: int = 3200
    lessons: float = 0.95
    later_lessons: float = 0.5
    schooling: float = 0.5
    matrix_lr: float = 2e-2
    lr: float = 3e-3
    warmup: int = 100
    text_weight: float = 0.5
    seed: int = 0
    left_to_right: int = 0
    masked_after: int = 0
    turning: int = 0
    asked: float = 0.6
    mask_rate: float = 0.2


@dataclass
class Batch:
    """A batch of lines, all (batch, seq); labels are `IGNORED` where nothing is learnt.

    Attributes:
        input_ids: padded on the right.
        attention_mask: 1 where a token is.
        answer_labels: the tokens that follow from what stands before them.
        text_labels: the others.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    answer_labels: torch.Tensor
    text_labels: torch.Tensor


def encode(
    lines: list[Line],
    tokenizer: Any,
    *,
    asked: bool = False,
    masks: tuple[Random, Recipe] | None = None,
) -> Batch:
    """Lines of (token ids with special tokens, whether each follows), padded.

    Args:
        lines: at least one.
        tokenizer: its padding and mask tokens are used.
        asked: whether the answers are masked; nothing else is.
        masks: instead, in some lines the answers are masked and in the others some of the text; a mask in the
            text might hide what an answer depends on.
    """
    longest = max(len(ids) for ids, _ in lines)
    inputs, answers, texts = [], [], []
    for ids, follows in lines:
        learnt = [i > 0 for i in range(len(ids))]
        hidden = follows if asked else [False] * len(ids)
        if masks is not None:
            rng, recipe = masks
            whole = rng.random() < recipe.asked
            follows = [f and whole for f in follows]
            learnt = [
                not whole and 0 < i < len(ids) - 1 and rng.random() < recipe.mask_rate
                for i in range(len(ids))
            ]
            hidden = [f or h for f, h in zip(follows, learnt, strict=True)]
        shown = [tokenizer.mask_token_id if h else t for t, h in zip(ids, hidden, strict=True)]
        room = longest - len(ids)
        inputs.append(shown + [tokenizer.pad_token_id] * room)
        answers.append([t if f else IGNORED for t, f in zip(ids, follows, strict=True)] + [IGNORED] * room)
        text = [t if h and not f else IGNORED for t, f, h in zip(ids, follows, learnt, strict=True)]
        texts.append(text + [IGNORED] * room)
    lengths = torch.tensor([len(ids) for ids, _ in lines])
    mask = (torch.arange(longest)[None] < lengths[:, None]).long()
    return Batch(torch.tensor(inputs), mask, torch.tensor(answers), torch.tensor(texts))


def line(task_name: str, rng: Random, lessons: float, bare: bool) -> list[tuple[str, str]]:
    """Texts and what follows each: a lesson with that probability, else one prompt and its continuation.

    Lessons of tasks that ask one thing of a text are strung together, one after the other.
    """
    if rng.random() >= lessons:
        task = load(task_name)
        row = task.generate(rng)
        return [(task.prompt(row), _language.continuation(task_name, row, rng))]
    pairs = lesson(task_name, rng, bare)
    if not hasattr(registry.module("task", task_name), "scene"):
        while sum(len(_language.tokens(text + answer)) for text, answer in pairs) < 90:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + "\n")
            pairs += lesson(task_name, rng)
    return pairs


def batches(
    tokenizer: Any, masked: bool, recipe: Recipe, steps: int, name: str = "corpus"
) -> Iterator[list[Line]]:
    """A corpus for causal or masked models without an end; a batch is lines of about one length.

    Args:
        tokenizer: of the model.
        masked: whether the model fills masks, and so cannot be asked for a continuation of several tokens.
        recipe: seed and mixture.
        steps: after `recipe.schooling` of them lessons grow rarer; until then stories grow longer.
        name: another name is another corpus.
    """
    rng = Random(f"{name} {recipe.seed}")
    # What a masked model cannot be asked would only take its time.
    names = [name for name in TASKS if not masked or load(name).loss == "classification"]
    made = 0
    while True:
        progress = made / steps / recipe.schooling
        lessons = recipe.lessons if progress < 1 else recipe.later_lessons
        lines = []
        for i in range(256):
            bare = progress < 1 and rng.random() < 0.8 * (1 - progress)
            pairs = line(names[i % len(names)], rng, lessons, bare)
            ids = tokenizer("".join(text + answer for text, answer in pairs)).input_ids
            follows = [f for p in pairs for f in (False, True) for _ in _language.tokens(p[f])]
            lines.append((ids, [False, *follows, False][: len(ids)]))
        # Lengths are blurred, so that a batch mixes tasks.
        lines.sort(key=lambda line: len(line[0]) + 20 * rng.random())
        groups = [[]]
        for entry in lines:
            if (len(groups[-1]) + 1) * len(entry[0]) > recipe.batch_tokens:
                groups.append([])
            groups[-1].append(entry)
        rng.shuffle(groups)
        yield from groups
        made += len(groups)
