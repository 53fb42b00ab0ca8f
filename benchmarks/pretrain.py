"""Pretrains a nano model on the built-in language: `python -m benchmarks.pretrain nano-opt`.

Causal models predict the next token, masked ones the masked tokens, of lines about all nine tasks; the
answers weigh as much as the rest of their line. Reading left to right, a token sees which of two remarks
came first by what it does not see yet, and selection by order forms in a thousand steps; looking both ways
it did not form in four thousand. So a masked model learns as a causal one first, under a causal attention
mask, which is then taken away batch by batch. The same name gives the same weights on the same machine and
libraries.
"""

import argparse
import math
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from benchmarks import models
from benchmarks._corpus import IGNORED, Batch, Recipe, batches, encode
from benchmarks.errors import unknown
from benchmarks.models import _nano, _transformers
from benchmarks.models._muon import Muon
from benchmarks.tasks import _language

POSITIONS = 160
RECIPES = {"nano-roberta": Recipe(steps=5000, schooling=0.7, left_to_right=0.26, turning=0.3)}


def losses(
    model: torch.nn.Module, batch: Batch, *, next_token: bool, left_to_right: bool
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the answers and of the other tokens learnt, in nats; 0 where there is none.

    Args:
        model: returns logits `(batch, seq, vocabulary)`.
        batch: of `encode`.
        next_token: a position predicts the token after it, otherwise its own.
        left_to_right: hides from each position what comes after it.
    """
    mask = batch.attention_mask
    if left_to_right:
        mask = mask[:, None, None, :].bool() & torch.ones(mask.shape[1], mask.shape[1]).tril().bool()
    logits = model(input_ids=batch.input_ids, attention_mask=mask).logits
    labels = torch.stack((batch.answer_labels, batch.text_labels))
    if next_token:
        logits, labels = logits[:, :-1], labels[:, :, 1:]
    wanted = (labels != IGNORED).any(0)
    each = torch.nn.functional.cross_entropy(
        logits[wanted], labels[:, wanted].max(0).values, reduction="none"
    )
    answer = labels[0][wanted] != IGNORED
    parts = (each[answer], each[~answer])
    return tuple(part.mean() if part.numel() else part.sum() for part in parts)


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
    if family.masked:
        _begin_with_sinusoids(model.base_model.embeddings.position_embeddings.weight)
    optimizers = _optimizers(model, recipe)
    corpus = batches(tokenizer, family.masked, recipe, recipe.steps)
    # A model that turns begins with short stories again.
    turning_at = round(recipe.left_to_right * recipe.steps)
    later = batches(tokenizer, family.masked, recipe, recipe.steps - turning_at, "corpus both ways")
    rng = Random(f"masks {recipe.seed}")
    sums = [0.0, 0.0]
    for step in range(recipe.steps):
        decay = 0.55 + 0.45 * math.cos(math.pi * step / recipe.steps)
        for optimizer, lr in zip(optimizers, (recipe.matrix_lr, recipe.lr), strict=True):
            optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / recipe.warmup) * decay
        lines = next(corpus if step < turning_at or not family.masked else later)
        answer, text = _step_losses(model, lines, tokenizer, family.masked, recipe, step - turning_at, rng)
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
    turning: int,
    rng: Random,
) -> tuple[Tensor, Tensor]:
    """The losses of one step: next tokens, masked tokens left to right, or masked tokens both ways.

    `turning` is the number of steps since a masked model began to turn; negative before.
    """
    if not masked:
        return losses(model, encode(lines, tokenizer), next_token=True, left_to_right=False)
    if turning < 0:
        return losses(model, encode(lines, tokenizer), next_token=True, left_to_right=True)
    left_to_right = rng.random() >= turning / max(1.0, recipe.turning * recipe.steps)
    batch = encode(lines, tokenizer, (rng, recipe))
    return losses(model, batch, next_token=False, left_to_right=left_to_right)


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
