"""Setup of a run: its model, encoded rows, batches, optimizer, and learning-rate schedule."""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from addax.optimizer import Method
from benchmarks import models, tasks
from benchmarks.config.methods import build_optimizer
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.data import demonstrations, long_rows
from benchmarks.data.splits import Splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _trainable, _transformers
from benchmarks.tasks import Task
from benchmarks.training.batches import Batches, ChooseLengthThreshold
from benchmarks.training.counters import RunCounters


@dataclass(frozen=True)
class Setup:
    """Model, data, and optimizer of one attempt at a run.

    Attributes:
        task: the task, with the run's metric.
        model: the model, on its device.
        scorer: computes losses and scores.
        rows: encoded rows of the splits "train" (only those to train on), "validation", and "test".
        long_above: number of tokens above which a row is long; None without a threshold.
        demonstrations_shown: mean number of whole demonstrations before a test row, at most those of the
            spec, since a long context is cut; None without demonstrations.
        batches, optimizer, scheduler: None for a zero-shot run.
    """

    task: Task
    model: nn.Module
    scorer: Scorer
    rows: dict[str, list[Encoded]]
    long_above: int | None
    demonstrations_shown: float | None = None
    batches: Batches | None = None
    optimizer: Method | None = None
    scheduler: LRScheduler | None = None


def set_up(
    spec: RunSpec,
    splits: Splits,
    counters: RunCounters,
    choose_length_threshold: ChooseLengthThreshold | None = None,
) -> Setup:
    """Load the model, and build everything else that the run needs.

    Args:
        spec: the run.
        splits: its data.
        counters: its counters, for the batch sizes and the used fraction of the budget (for the schedule).
        choose_length_threshold: see `Batches`.

    Raises:
        UserError: the spec does not fit its data or model.
    """
    task = tasks.load(spec.task)
    task = replace(task, metric=spec.metric or task.metric)
    labels = len(splits.train[0].candidates) if spec.head == "classification" else None
    dtype = getattr(torch, spec.dtype)
    loaded = models.load(
        spec.model,
        dtype=dtype,
        device=spec.device,
        head=spec.head,
        num_labels=labels,
        trust_remote_code=spec.trust_remote_code,
        adapter="train" if spec.trainable == "adapter" else "merge",
    )
    model = loaded.model
    if spec.method == ZERO_SHOT and loaded.new_weights:
        raise UserError(
            f"zero-shot with head=classification needs a trained head, and {spec.model} has no "
            f"{loaded.new_weights[0]}: use head=lm, or a model that a run with head=classification saved"
        )
    _trainable.select(model, spec.trainable, spec.model)
    scorer = Scorer(loaded, task, spec.head, spec.scoring)
    rows, shown = {}, None
    for name in ("train", "validation", "test"):
        examples = getattr(splits, name)
        if spec.demonstrations and name != "train":
            rows[name], whole = demonstrations.encode_after(
                splits.train, examples, spec.demonstrations, spec.data_seed, task, loaded
            )
            shown = sum(whole) / len(whole)
        else:
            rows[name] = encode(examples, task, loaded, spec.head)
    long_above = long_rows.tokens_of(spec.long_above, rows["train"])
    if spec.method == ZERO_SHOT:
        return Setup(task, model, scorer, rows, long_above, shown)
    if spec.train_on == "short":
        rows["train"] = long_rows.short_rows(rows["train"], long_above, spec.task)
    batches = Batches(spec, rows["train"], counters.batch_sizes, choose_length_threshold)
    if long_above is None:
        long_above = batches.assignment.length_threshold
    if spec.gradient_checkpointing:
        _transformers.enable_checkpointing(model)
    try:
        optimizer = build_optimizer(spec, model)
    except ValueError as error:
        raise UserError(f"{spec.method} on {spec.model}: {error}") from None

    def rate_factor(_: int) -> float:
        return 1 - min(counters.budget_fraction(spec.budget), 1) if spec.schedule == "linear" else 1.0

    # Dropout draws from torch's global generators.
    torch.manual_seed(spec.seed)
    scheduler = LambdaLR(optimizer, rate_factor)
    return Setup(task, model, scorer, rows, long_above, None, batches, optimizer, scheduler)
