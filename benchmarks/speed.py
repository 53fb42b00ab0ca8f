"""Speed, as ratios measured side by side in one run: `python -m benchmarks.speed scoring`.

`scoring`: the training loss and the evaluation of `benchmarks.scoring` beside the released way, a
full sequence a candidate, on the same batches, interleaved, on the architecture of OPT-125M with random
weights (times do not depend on their values). Losses must agree to 1e-5.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from transformers import OPTConfig

from benchmarks import models, registry, report, store, tasks
from benchmarks.data import load_splits
from benchmarks.encoding import Encoded, encode
from benchmarks.evaluate import evaluate
from benchmarks.measure import now, provenance
from benchmarks.scoring import SCORINGS, Scorer

TASKS = ("sst2", "cb")
# arXiv 2205.01068, Table 1, and the published configuration's vocabulary.
OPT_125M = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "ffn_dim": 3072,
    "vocab_size": 50272,
    "dropout": 0.0,
}
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
    tokens = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    config = OPTConfig(**OPT_125M, pad_token_id=tokens.tokenizer.pad_token_id)
    model = models.build(config, dtype=torch.float32, device=device)
    loaded = models.LoadedModel(model, tokens.tokenizer, tokens.family, "opt-125m shape", 2048)
    rows = []
    for name in TASKS:
        task = tasks.load(name)
        count = batch_size * repeats
        splits = load_splits(name, data, train=count, validation=1, test=count, seed=0)
        train = encode(splits.train, task, loaded, "lm")
        batches = [train[i : i + batch_size] for i in range(0, len(train) - batch_size + 1, batch_size)]
        scorers = {way: Scorer(loaded, task, scoring=way) for way in SCORINGS}
        with torch.no_grad():
            losses = [[float(s.loss(batch)) for s in scorers.values()] for batch in batches]
        difference = max(abs(ours - released) for ours, released in losses)
        parts: dict[str, Callable[[Scorer, Sequence[Encoded]], object]] = {
            "zeroth-order loss": _forward,
            "first-order loss and backward": _backward,
            "evaluation": lambda scorer, batch: evaluate(scorer, batch, batch_size),
        }
        for part, work in parts.items():
            times = _interleaved(work, scorers, batches, torch.device(device))
            rows.append(
                {
                    "task_title": task.title,
                    "part": part,
                    "batch_size": batch_size,
                    "data": data if data == "builtin" else "folder",
                    "seconds": times["shared"],
                    "released_seconds": times["per_candidate"],
                    "ratio": times["per_candidate"] / times["shared"],
                    "loss_difference": difference,
                    **provenance(),
                }
            )
    return rows


def _forward(scorer: Scorer, batch: Sequence[Encoded]) -> None:
    with torch.no_grad():
        scorer.loss(batch)


def _backward(scorer: Scorer, batch: Sequence[Encoded]) -> None:
    scorer.loss(batch).backward()
    scorer.model.zero_grad()


def _interleaved(
    work: Callable[[Scorer, Sequence[Encoded]], object],
    scorers: dict[str, Scorer],
    batches: Sequence[Sequence[Encoded]],
    device: torch.device,
) -> dict[str, float]:
    """Median seconds of each way over the batches, the ways taking turns on each batch."""
    times: dict[str, list[float]] = {way: [] for way in scorers}
    for scorer in scorers.values():
        work(scorer, batches[0])
    for batch in batches:
        for way, scorer in scorers.items():
            begin = now(device)
            work(scorer, batch)
            times[way].append(now(device) - begin)
    return {way: median(values) for way, values in times.items()}


def main() -> int:
    """Runs a benchmark, prints its table, and with --save keeps its rows; 1 if losses disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("benchmark", choices=("scoring",))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", default="builtin", help='"builtin" or a folder with real rows')
    parser.add_argument("--save", action="store_true", help="rows into results/reference/")
    given = parser.parse_args()
    rows = scoring(given.batch_size, given.repeats, given.device, given.data)
    table = Table(title="Scoring: all candidates in one forward, beside one sequence a candidate")
    for head in ("task", "part", "ours (s)", "released (s)", "ratio", "largest loss difference"):
        table.add_column(head, justify="left" if head in ("task", "part") else "right")
    for row in rows:
        numbers = (f"{row['seconds']:.3f}", f"{row['released_seconds']:.3f}", f"{row['ratio']:.2f}x")
        table.add_row(row["task_title"], row["part"], *numbers, f"{row['loss_difference']:.1e}")
    Console().print(table)
    if given.save:
        target = store.REFERENCE / "speed-scoring.jsonl"
        store.write_atomically(target, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
        report.refresh(registry.ROOT / "README.md")
    return int(any(row["loss_difference"] > TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main())
