"""Scoring beside the released way: the training loss and the evaluation of `benchmarks.evaluation.scoring`.

All candidates in one forward, against a full sequence a candidate, on the same batches, on OPT-125M's
architecture. Losses must agree to `TOLERANCE`.
"""

from collections.abc import Callable, Sequence
from statistics import median

import torch

from benchmarks import models, tasks
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.evaluation.evaluate import evaluate
from benchmarks.evaluation.scoring import SCORINGS, Scorer
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies.speed._interleave import interleaved
from benchmarks.studies.speed._shapes import opt

TASKS = ("sst2", "cb")
TOLERANCE = 1e-5


def scoring(batch_size: int, repeats: int, device: str, data: str) -> list[dict]:
    """One row a task and part: seconds of both ways, their ratio, and the largest difference of losses.

    Args:
        batch_size: examples of a training batch and of an evaluation batch.
        repeats: batches; medians over them are reported.
        device: "cpu" or "cuda".
        data: "builtin", or a folder with real rows.
    """
    torch.manual_seed(0)
    loaded = nano_tokens_on_opt_125m(device)
    rows = []
    for name in TASKS:
        batches = training_batches(name, loaded, batch_size, repeats, data)
        scorers = {way: Scorer(loaded, tasks.load(name), scoring=way) for way in SCORINGS}
        with torch.no_grad():
            losses = [[float(s.loss(batch)) for s in scorers.values()] for batch in batches]
        difference = max(abs(ours - released) for ours, released in losses)
        parts: dict[str, Callable[[Scorer, Sequence[Encoded]], object]] = {
            "zeroth-order loss": _forward,
            "first-order loss and backward": _backward,
            "evaluation": lambda scorer, batch: evaluate(scorer, batch, batch_size),
        }
        for part, work in parts.items():
            ways = {way: lambda batch, s=s, work=work: work(s, batch) for way, s in scorers.items()}
            times = {k: median(v) for k, v in interleaved(ways, batches, torch.device(device)).items()}
            rows.append(
                {
                    "task_title": tasks.load(name).title,
                    "part": part,
                    "batch_size": batch_size,
                    "data": data if data == "builtin" else "folder",
                    "seconds": times["shared"],
                    "released_seconds": times["per_candidate"],
                    "ratio": times["per_candidate"] / times["shared"],
                    "loss_difference": difference,
                    **provenance_fields(),
                }
            )
    return rows


def nano_tokens_on_opt_125m(device: str) -> models.LoadedModel:
    """OPT-125M's architecture with the built-in tokenizer: nothing is downloaded."""
    tokens = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    model = opt("opt-125m", torch.float32, device, tokens.tokenizer.pad_token_id)
    return models.LoadedModel(model, tokens.tokenizer, tokens.family, "opt-125m shape", 2048)


def training_batches(
    name: str, loaded: models.LoadedModel, batch_size: int, count: int, data: str
) -> list[list[Encoded]]:
    """Encoded batches of a task's training rows."""
    rows = load_splits(name, data, train=batch_size * count, validation=1, test=1, seed=0).train
    train = encode(rows, tasks.load(name), loaded, "lm")
    return [train[i : i + batch_size] for i in range(0, len(train) - batch_size + 1, batch_size)]


def _forward(scorer: Scorer, batch: Sequence[Encoded]) -> None:
    with torch.no_grad():
        scorer.loss(batch)


def _backward(scorer: Scorer, batch: Sequence[Encoded]) -> None:
    scorer.loss(batch).backward()
    scorer.model.zero_grad()
