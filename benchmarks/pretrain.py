"""Pretrains a nano model on the built-in language: `python -m benchmarks.pretrain nano-opt`.

Causal models predict the next token, masked ones the masked tokens, of `corpus_line`s of all nine tasks.
What follows a prompt is one token in sixty and the only one that a relation decides, so it weighs as
much as the rest of its line. The same name gives the same weights on the same machine and libraries.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from benchmarks import models, registry
from benchmarks.errors import unknown
from benchmarks.models import Family, _nano, _transformers
from benchmarks.models._muon import Muon
from benchmarks.tasks import _language, _lessons, load

POSITIONS = 160
IGNORED = -100
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
        mask_rate: share of the other tokens that a masked model has to fill in.
        seed: of initial weights and corpus.
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
    mask_rate: float = 0.1
    seed: int = 0


# An encoder is slower to learn the language: only its masked tokens teach it.
RECIPES = {"nano-roberta": Recipe(steps=4000, schooling=0.6, mask_rate=0.2)}


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


def encode(lines: list[Line], tokenizer: Any, family: Family, rng: Random, mask_rate: float) -> Batch:
    """Lines of (token ids with special tokens, whether each follows); masked models see answers masked."""
    longest = max(len(ids) for ids, _ in lines)
    inputs, answers, texts = [], [], []
    for ids, follows in lines:
        if family.masked:
            learnt = [0 < i < len(ids) - 1 and rng.random() < mask_rate for i in range(len(ids))]
            shown = [
                tokenizer.mask_token_id if f or h else t for t, f, h in zip(ids, follows, learnt, strict=True)
            ]
        else:
            learnt, shown = [i > 0 for i in range(len(ids))], ids
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
    pairs = _lessons.lesson(task_name, rng, bare)
    if not hasattr(registry.module("task", task_name), "scene"):
        while sum(len(_language.tokens(text + answer)) for text, answer in pairs) < 90:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + "\n")
            pairs += _lessons.lesson(task_name, rng)
    return pairs


def batches(tokenizer: Any, family: Family, recipe: Recipe) -> Iterator[Batch]:
    """The corpus; a batch is lines of about one length."""
    rng = Random(f"corpus {recipe.seed}")
    names = [name for name in registry.files("task") if load(name).generate]
    if family.masked:
        # What a masked model cannot be asked would only take its time.
        names = [name for name in names if load(name).loss == "classification"]
    made = 0
    while True:
        progress = made / recipe.steps / recipe.schooling
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
        for group in groups:
            yield encode(group, tokenizer, family, rng, recipe.mask_rate)
        made += len(groups)


def losses(model: torch.nn.Module, batch: Batch, masked: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy of the continuation's tokens and of the other tokens, in nats."""
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    labels = torch.stack((batch.answer_labels, batch.text_labels))
    if not masked:
        logits, labels = logits[:, :-1], labels[:, :, 1:]
    wanted = (labels != IGNORED).any(0)
    each = torch.nn.functional.cross_entropy(
        logits[wanted], labels[:, wanted].max(0).values, reduction="none"
    )
    answer = labels[0][wanted] != IGNORED
    return each[answer].mean(), each[~answer].mean()


def _optimizers(model: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices: selection forms in fewer steps than under AdamW alone."""
    matrices = {id(p) for key, p in model.named_parameters() if p.ndim == 2 and ".layer" in key}
    inner = [p for p in model.parameters() if id(p) in matrices]
    outer = [p for p in model.parameters() if id(p) not in matrices]
    return [
        Muon(inner, lr=recipe.matrix_lr),
        torch.optim.AdamW(outer, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]


def pretrain(name: str, recipe: Recipe, report=print) -> tuple[torch.nn.Module, Any]:
    """A trained model and its tokenizer; torch's global generator is left as it was."""
    family = models.builtin()[name]
    tokenizer = _nano.tokenizer(family, _language.vocabulary(), POSITIONS)
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        model = models.build(family.nano(tokenizer), dtype=torch.float32)
    optimizers = _optimizers(model, recipe)
    corpus = batches(tokenizer, family, recipe)
    sums = [0.0, 0.0]
    for step in range(recipe.steps):
        decay = 0.55 + 0.45 * math.cos(math.pi * step / recipe.steps)
        for optimizer, lr in zip(optimizers, (recipe.matrix_lr, recipe.lr), strict=True):
            optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / recipe.warmup) * decay
        answer, text = losses(model, next(corpus), family.masked)
        model.zero_grad()
        (answer + recipe.text_weight * text).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        sums = [sums[0] + answer.item(), sums[1] + text.item()]
        if (step + 1) % 100 == 0:
            report(
                f"{name} step {step + 1}: loss of answers {sums[0] / 100:.3f}, of text {sums[1] / 100:.3f}"
            )
            sums = [0.0, 0.0]
    return model, tokenizer


def save(model: torch.nn.Module, tokenizer: Any, folder: Path) -> None:
    """Writes a transformers folder: config.json, model.safetensors, the tokenizer's files."""
    with _transformers.guarded(folder.name):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    # Generation settings are the scorer's.
    (folder / "generation_config.json").unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    names = [name for name in models.builtin() if name.startswith("nano-")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrain", description=__doc__.split("\n")[0])
    parser.add_argument("name", help=", ".join(names))
    parser.add_argument("--out", type=Path, default=models.WEIGHTS, help="folder of the models' folders")
    chosen = parser.parse_args(arguments)
    if chosen.name not in names:
        parser.error(str(unknown("nano model", chosen.name, names)))
    # Sums taken by another number of threads round differently.
    torch.set_num_threads(1)
    model, tokenizer = pretrain(
        chosen.name, RECIPES.get(chosen.name, Recipe()), report=lambda line: print(line, flush=True)
    )
    save(model, tokenizer, chosen.out / chosen.name)


if __name__ == "__main__":
    main()
