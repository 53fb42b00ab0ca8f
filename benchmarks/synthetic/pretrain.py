"""Pretraining of a nano model on the built-in language: `python -m benchmarks pretrain nano-opt`.

Causal models predict the next token, and masked models predict the masked tokens, of lines about the nine
tasks. The mean loss of the answers has twice the weight of the mean loss of the other tokens.

With a causal attention mask, tokens of the first remark cannot attend to the last remark, which distinguishes
the two. The model then learns selection by order within one to three thousand steps. Without the mask, it
failed to do so in four thousand steps. A masked model is therefore trained in stages. First it learns like a
causal model, under a causal mask. Then it predicts the answers at their masks, still under the causal mask.
(If this stage is combined with the next one, the model does not learn it.) Then the causal mask is removed,
in a growing share of batches. Finally the model receives embeddings for the label words of tasks that it was
not trained on, because it can fill a mask only with a token of its vocabulary.

The same name gives the same weights on the same machine with the same libraries.
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
# The label words of SST-5 and TREC that are not in the built-in language.
LABEL_WORDS = ("okay", "Description", "Entity", "Expression", "Human", "Location", "Number")
LABEL_SEED = 0
RECIPES = {
    "nano-opt": Recipe(steps=4000, schooling=0.65),
    "nano-llama": Recipe(steps=5000, schooling=0.75, unlike=0.75, opinions_only=0.3),
    "nano-roberta": Recipe(
        steps=6500, schooling=0.85, unlike=0.6, left_to_right=2000, masked_after=1500, turning=1500
    ),
}


def losses(
    model: torch.nn.Module, batch: Batch, *, answers_ahead: bool, text_ahead: bool, left_to_right: bool
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropies of the answers and of the other tokens, in nats; 0 without such labels.

    Args:
        model: a model that returns logits `(batch, seq, vocabulary)`.
        batch: a batch from `encode`.
        answers_ahead, text_ahead: whether a position predicts the next token instead of its own token.
        left_to_right: whether to use a causal attention mask.
    """
    mask = batch.attention_mask
    if left_to_right:
        mask = mask[:, None, None, :].bool() & torch.ones(mask.shape[1], mask.shape[1]).tril().bool()
    logits = model(input_ids=batch.input_ids, attention_mask=mask).logits
    parts = []
    for labels, ahead in ((batch.answer_labels, answers_ahead), (batch.text_labels, text_ahead)):
        predictions, targets = (logits[:, :-1], labels[:, 1:]) if ahead else (logits, labels)
        trained = targets != IGNORED
        reduction = "mean" if trained.any() else "sum"
        loss = torch.nn.functional.cross_entropy(predictions[trained], targets[trained], reduction=reduction)
        parts.append(loss)
    return tuple(parts)


def _optimizers(model: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return Muon for the layers' matrices and AdamW for the other weights.

    With Muon the model learns selection in fewer steps than with AdamW alone.
    """
    matrices = {id(p) for key, p in model.named_parameters() if p.ndim == 2 and ".layer" in key}
    inner = [p for p in model.parameters() if id(p) in matrices]
    outer = [p for p in model.parameters() if id(p) not in matrices]
    return [
        Muon(inner, lr=recipe.matrix_lr),
        torch.optim.AdamW(outer, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]


def pretrain(name: str, recipe: Recipe, report=print) -> tuple[torch.nn.Module, Any]:
    """Return a trained model and its tokenizer, without changing torch's global generator."""
    family = models.builtin()[name]
    tokenizer = nano_tokenizer.tokenizer(family, _language.vocabulary(), POSITIONS)
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        model = models.build(family.nano(tokenizer), dtype=torch.float32)
    if family.masked:
        _begin_with_sinusoids(model.base_model.embeddings.position_embeddings.weight)
    optimizers = _optimizers(model, recipe)
    # After the steps with a causal mask, a masked model uses a second corpus, which starts with short stories
    # again.
    corpus = batches(tokenizer, family.masked, recipe, recipe.steps)
    remaining = recipe.steps - recipe.left_to_right
    later = batches(tokenizer, family.masked, recipe, remaining, "corpus both ways")
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
    """Add `LABEL_WORDS` to the vocabulary of a masked model, without changing its other weights.

    The new embeddings are drawn with the mean and the standard deviation of the existing ones. The new biases
    are the mean of the existing ones.

    Args:
        model: a masked model whose tokens are `vocabulary` and special tokens; it is changed in place.
        family: the model's family.

    Returns:
        The new tokenizer, in which the new words come last.
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
    """Initialize learned positions `(position, width)` with sinusoids of the other embeddings' scale.

    A shift in position is then a rotation, so that one head can attend to the token three positions earlier.
    A bidirectional model needs such a head to connect a remark with its order. Vaswani et al., arXiv
    1706.03762, section 3.5.
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
    """Return the losses of one step.

    Depending on the stage, the model predicts next tokens, answers at their masks under the causal mask, or
    all masks (with the causal mask in a decreasing share of steps).
    """
    if not masked or step < recipe.left_to_right:
        mask_answers = masked and step >= recipe.masked_after
        batch = encode(lines, tokenizer, mask_answers=mask_answers)
        return losses(model, batch, answers_ahead=not mask_answers, text_ahead=True, left_to_right=masked)
    left_to_right = rng.random() >= (step - recipe.left_to_right) / max(1, recipe.turning)
    batch = encode(lines, tokenizer, masks=(rng, recipe))
    return losses(model, batch, answers_ahead=False, text_ahead=False, left_to_right=left_to_right)


def save(model: torch.nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write a transformers folder: config.json, model.safetensors, and the tokenizer's files."""
    with _transformers.loading_errors(folder.name):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    # The scorer defines the generation settings.
    (folder / "generation_config.json").unlink(missing_ok=True)


def write(name: str, out: Path, report: Callable[[str], None]) -> None:
    """Pretrain a nano model and write it to a folder.

    Args:
        name: name of a nano model.
        out: parent of the model's folder.
        report: called with lines about the progress.
    """
    # The rounding of sums depends on the number of threads.
    torch.set_num_threads(1)
    model, tokenizer = pretrain(name, RECIPES[name], report=report)
    save(model, tokenizer, out / name)
