"""Pretrain a nano model on the built-in language: `python -m benchmarks pretrain nano-opt`.

Causal models predict the next token, masked ones the masked tokens, of lines about all nine tasks; the
answers weigh as much as the rest of their line. Reading left to right, a token sees which of two remarks
came first by what it does not see yet, and selection by order forms in a thousand steps; looking both ways
it did not form in four thousand. So a masked model learns as a causal one first, under a causal attention
mask; then answers are asked for at their masks, still left to right (taken in one with the next change, this
one is not learnt); then the causal mask is taken away, batch by batch. Last it is given the label words of
tasks that it was not trained on, as it fills a mask with one token that it has. The same name gives the same
weights on the same machine and libraries.
"""

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from benchmarks import models
from benchmarks.models import _transformers
from benchmarks.synthetic import nano_tokenizer
from benchmarks.synthetic.corpus import IGNORED, Batch, Recipe, batches, encode
from benchmarks.synthetic.muon import Muon
from benchmarks.tasks import _language

POSITIONS = 160
# Of SST-5 and TREC, which the built-in language does without.
LABEL_WORDS = ("okay", "Description", "Entity", "Expression", "Human", "Location", "Number")
LABEL_SEED = 0
RECIPES = {
    # With fewer lessons at first, selection by order forms on one machine and not on another.
    "nano-llama": Recipe(steps=3000, schooling=0.7),
    "nano-roberta": Recipe(steps=5400, schooling=0.8, left_to_right=2322, masked_after=1722, turning=1350),
}


def losses(
    model: torch.nn.Module, batch: Batch, *, answers_ahead: bool, text_ahead: bool, left_to_right: bool
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the answers and of the other tokens learnt, in nats; 0 where there is none.

    Args:
        model: returns logits `(batch, seq, vocabulary)`.
        batch: of `encode`.
        answers_ahead, text_ahead: whether a position predicts the token after it, or else its own.
        left_to_right: hides from each position what comes after it.
    """
    mask = batch.attention_mask
    if left_to_right:
        mask = mask[:, None, None, :].bool() & torch.ones(mask.shape[1], mask.shape[1]).tril().bool()
    logits = model(input_ids=batch.input_ids, attention_mask=mask).logits
    parts = []
    for labels, ahead in ((batch.answer_labels, answers_ahead), (batch.text_labels, text_ahead)):
        seen, wanted = (logits[:, :-1], labels[:, 1:]) if ahead else (logits, labels)
        learnt = wanted != IGNORED
        reduction = "mean" if learnt.any() else "sum"
        parts.append(torch.nn.functional.cross_entropy(seen[learnt], wanted[learnt], reduction=reduction))
    return tuple(parts)


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
    tokenizer = nano_tokenizer.tokenizer(family, _language.vocabulary(), POSITIONS)
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        model = models.build(family.nano(tokenizer), dtype=torch.float32)
    if family.masked:
        _begin_with_sinusoids(model.base_model.embeddings.position_embeddings.weight)
    optimizers = _optimizers(model, recipe)
    # Before it turns, a masked model learns all that a causal one does; then it begins with short stories.
    corpus = batches(tokenizer, False, recipe, recipe.steps)
    turned = recipe.steps - recipe.left_to_right
    later = batches(tokenizer, family.masked, recipe, turned, "corpus both ways")
    rng = Random(f"masks {recipe.seed}")
    sums = [0.0, 0.0]
    for step in range(recipe.steps):
        decay = 0.55 + 0.45 * math.cos(math.pi * step / recipe.steps)
        for optimizer, lr in zip(optimizers, (recipe.matrix_lr, recipe.lr), strict=True):
            optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / recipe.warmup) * decay
        lines = next(corpus if step < recipe.left_to_right or not family.masked else later)
        answer, text = _step_losses(model, lines, tokenizer, family.masked, recipe, step, rng)
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
    if family.masked:
        tokenizer = with_label_words(model, family)
    return model, tokenizer


@torch.no_grad()
def with_label_words(model: torch.nn.Module, family: models.Family) -> Any:
    """Gives a masked model of the built-in language `LABEL_WORDS`; all that it knew stays as it was.

    Their embeddings are drawn with the mean and the standard deviation of the others, and their biases are
    the others' mean.

    Args:
        model: changed in place; `vocabulary` and special tokens are its tokens.
        family: the model's.

    Returns:
        Its new tokenizer, in which they come last.
    """
    tokenizer = nano_tokenizer.tokenizer(family, (*_language.vocabulary(), *LABEL_WORDS), POSITIONS)
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    known = model.get_input_embeddings().weight
    rows = torch.randn(len(LABEL_WORDS), known.shape[1], generator=torch.Generator().manual_seed(LABEL_SEED))
    rows = known.mean() + known.std() * rows
    bias = model.get_output_embeddings().bias.mean()
    with torch.random.fork_rng([]):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.get_input_embeddings().weight[-len(LABEL_WORDS) :] = rows
    model.get_output_embeddings().bias[-len(LABEL_WORDS) :] = bias
    return tokenizer


@torch.no_grad()
def _begin_with_sinusoids(positions: Tensor) -> None:
    """Sets learned positions `(position, width)` to sinusoids of the other embeddings' scale.

    Then a distance is a rotation, and one head can find the token three places before, which a model that
    looks both ways needs to bind a remark to its order. Vaswani et al., arXiv 1706.03762, section 3.5.
    """
    number, width = positions.shape
    waves = torch.exp(-torch.arange(0, width, 2) / width * math.log(200.0))
    phases = torch.arange(number)[:, None] * waves
    positions[:, 0::2] = 0.14 * torch.sin(phases)
    positions[:, 1::2] = 0.14 * torch.cos(phases)


def _step_losses(
    model: torch.nn.Module,
    lines: list,
    tokenizer: Any,
    masked: bool,
    recipe: Recipe,
    step: int,
    rng: Random,
) -> tuple[Tensor, Tensor]:
    """The losses of one step: next tokens, answers at their masks left to right, or all masks both ways."""
    if not masked or step < recipe.left_to_right:
        asked = masked and step >= recipe.masked_after
        batch = encode(lines, tokenizer, asked=asked)
        return losses(model, batch, answers_ahead=not asked, text_ahead=True, left_to_right=masked)
    left_to_right = rng.random() >= (step - recipe.left_to_right) / max(1, recipe.turning)
    batch = encode(lines, tokenizer, masks=(rng, recipe))
    return losses(model, batch, answers_ahead=False, text_ahead=False, left_to_right=left_to_right)


def save(model: torch.nn.Module, tokenizer: Any, folder: Path) -> None:
    """Writes a transformers folder: config.json, model.safetensors, the tokenizer's files."""
    with _transformers.loading_errors(folder.name):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    # Generation settings are the scorer's.
    (folder / "generation_config.json").unlink(missing_ok=True)


def write(name: str, out: Path, report: Callable[[str], None]) -> None:
    """Pretrain a nano model and write its folder.

    Args:
        name: of a nano model.
        out: folder of the models' folders.
        report: takes lines on the progress.
    """
    # Sums taken by another number of threads round differently.
    torch.set_num_threads(1)
    model, tokenizer = pretrain(name, RECIPES.get(name, Recipe()), report=report)
    save(model, tokenizer, out / name)
