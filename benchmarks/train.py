"""The only training loop: one spec in, one result row out."""

import contextlib
import dataclasses
import datetime
import math
import time
from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

from addax import assignment
from benchmarks import models, store, tasks
from benchmarks.data import Splits, load_splits
from benchmarks.dropout import Dropout
from benchmarks.encoding import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.evaluate import Score, evaluate
from benchmarks.measure import PeakMemory, now, provenance, tensors_of
from benchmarks.scoring import Scorer
from benchmarks.spec import ZERO_SHOT, RunSpec, build_optimizer

SKIPS_IN_A_ROW = 20
# On a GPU, reading the counter of skipped steps waits for the device.
LOOK_EVERY = {"cpu": 1, "cuda": 10}
# (share of the budget used, one line on where the run is)
Progress = Callable[[float, str], None]


class Diverged(Exception):
    """Too many steps in a row were not finite."""


def run(
    spec: RunSpec, splits: Splits, *, suite: str, jobs: int = 1, progress: Progress | None = None
) -> dict:
    """Runs a spec and returns its row; a run that fails by itself is a row with its reason.

    Args:
        spec: what to run.
        splits: its data, from `load`.
        suite: recorded in the row.
        jobs: runs that shared the machine, recorded.
        progress: called now and then.

    Raises:
        UserError: the spec does not fit its data or model, found before any training.
    """
    started = _utc()
    clock = time.perf_counter()
    running = _Run(spec, splits, progress or (lambda share, text: None))
    status, reason = "done", None
    try:
        running.train()
    except Diverged as error:
        status, reason = "failed", str(error)
    return _head(spec, splits, suite, running.task) | {
        "status": status,
        "reason": reason,
        **running.results(status),
        "jobs": jobs,
        "started": started.isoformat(timespec="seconds"),
        "ended": _utc().isoformat(timespec="seconds"),
        "wall_seconds": time.perf_counter() - clock,
    }


def failed_row(spec: RunSpec, splits: Splits, suite: str, reason: str) -> dict[str, Any]:
    """The row of a run that broke before it could measure anything."""
    ended = _utc().isoformat(timespec="seconds")
    row = _head(spec, splits, suite, tasks.load(spec.task))
    return row | {"status": "failed", "reason": reason, "score": None, "curve": [], "ended": ended}


def _head(spec: RunSpec, splits: Splits, suite: str, task: tasks.Task) -> dict[str, Any]:
    return {
        "id": spec.id,
        "suite": suite,
        "config": dataclasses.asdict(spec),
        "label": spec.label,
        "task_title": task.title,
        "task_version": task.version,
        "metric": task.metric,
        **provenance(),
        "peak_predicted": None,
        "data_fingerprint": splits.fingerprint,
        "source_fingerprint": store.source_fingerprint(spec.method, spec.model, spec.task),
    }


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def load(spec: RunSpec, folder: str | None) -> Splits:
    """The rows of a spec.

    Args:
        spec: says which.
        folder: where rows lie for `data="folder"`.

    Raises:
        UserError: the folder is not given, or the rows cannot be had.
    """
    if spec.data == "folder" and folder is None:
        raise UserError("data=folder needs --data DIR or the environment variable ADDAX_DATA")
    return load_splits(
        spec.task,
        folder if spec.data == "folder" else spec.data,
        train=spec.train_rows,
        validation=spec.validation_rows,
        test=spec.test_rows,
        seed=spec.data_seed,
    )


class _Run:
    """The state of one run."""

    def __init__(self, spec: RunSpec, splits: Splits, progress: Progress) -> None:
        self.spec, self.progress = spec, progress
        self.task = tasks.load(spec.task)
        labels = len(self.task.candidates(splits.train[0])) if spec.head == "classification" else None
        self.loaded = models.load(
            spec.model,
            dtype=getattr(torch, spec.dtype),
            device=spec.device,
            head=spec.head,
            num_labels=labels,
        )
        self.model = self.loaded.model
        self.scorer = Scorer(self.loaded, self.task, spec.head, spec.scoring)
        self.device = self.scorer.device
        self.rows = {
            name: encode(getattr(splits, name), self.task, self.loaded, spec.head)
            for name in ("train", "validation", "test")
        }
        self.dropout = Dropout(self.model)
        self.memory = PeakMemory(self.device)
        self.curve: list[dict[str, Any]] = []
        self.losses: list[Tensor] = []
        self.realised: list[Tensor] = []
        self.step_seconds: list[float] = []
        self.eval_seconds = 0.0
        self.forwards = self.backwards = self.examples = 0
        self.best: tuple[tuple[float, float], int, dict[str, Tensor]] | None = None
        self.heaviest: dict[str, list[Encoded]] = {}
        self.test: Score | None = None
        self.assignment: assignment.Assignment | None = None
        self.optimizer = None
        if spec.method != ZERO_SHOT:
            self._prepare()

    def _prepare(self) -> None:
        spec = self.spec
        lengths = [e.length for e in self.rows["train"]]
        threshold = spec.set.get("length_threshold")
        if isinstance(threshold, str):
            threshold = assignment.quantile(lengths, float(threshold[1:]))
        self.assignment = assignment.assign(lengths, threshold)
        pools = {"zo": self.assignment.zo, "fo": self.assignment.fo}
        self.draws = {}
        for part, pool in pools.items():
            size = spec.set.get(f"{part}_batch_size", 0)
            if size and not pool:
                side = "longer than" if part == "zo" else "of at most"
                raise UserError(
                    f"task {spec.task}: no training example is {side} length_threshold = {threshold} tokens "
                    f"(lengths {min(lengths)} to {max(lengths)}), so {part}_batch_size = {size} cannot be "
                    f"drawn: move the threshold or set {part}_batch_size=0"
                )
            if size:
                self.draws[part] = (pool, min(size, len(pool)))
        if spec.gradient_checkpointing:
            self.model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
        try:
            self.optimizer = build_optimizer(spec, self.model)
        except ValueError as error:
            raise UserError(f"{spec.method} on {spec.model}: {error}") from None
        decay = (lambda step: 1 - step / spec.steps) if spec.schedule == "linear" else (lambda step: 1.0)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, decay)
        # Dropout draws from torch's own generators, which a run begins with its seed.
        torch.manual_seed(spec.seed)

    @property
    def train_seconds(self) -> float:
        return sum(self.step_seconds)

    @property
    def share(self) -> float:
        """The part of the budget that is used."""
        if self.spec.method == ZERO_SHOT:
            return 1.0
        if self.spec.steps is not None:
            return len(self.step_seconds) / self.spec.steps
        return self.train_seconds / self.spec.seconds

    def train(self) -> None:
        spec = self.spec
        self._evaluate(keep=spec.method == ZERO_SHOT)
        for k in range(1, spec.evaluations + 1 if self.optimizer else 1):
            before = len(self.step_seconds)
            with self.memory.training():
                while self.share < k / spec.evaluations - 1e-12:
                    self._step(len(self.step_seconds))
            # Where evaluations outnumber steps, nothing has changed since the last one.
            if len(self.step_seconds) > before:
                self._evaluate(keep=True)
        if self.optimizer:
            self._measure_heaviest()
        self.model.load_state_dict(self.best[2], strict=False)
        begin = now(self.device)
        self.test = evaluate(self.scorer, self.rows["test"], spec.eval_batch_size)
        self.eval_seconds += now(self.device) - begin

    def _measure_heaviest(self) -> None:
        """One more step on the heaviest batches of the run; the best checkpoint is already kept."""
        counted, skipped = self.examples, self.optimizer.skipped_steps
        with self.memory.heaviest_step(tensors_of(self.model, self.optimizer)):
            # A method with an anchor has two kinds of step.
            for _ in range(getattr(self.optimizer, "anchor_every", 1)):
                self._take(self.heaviest)
        self.examples, self.optimizer.skipped_steps = counted, skipped

    def _step(self, step: int) -> None:
        batches = {
            # A batch is a function of (data seed, step, pool): nothing to save, and equal for all methods.
            part: [
                self.rows["train"][i] for i in Random(f"{self.spec.data_seed} {step} {part}").sample(*draw)
            ]
            for part, draw in self.draws.items()
        }
        for part, batch in batches.items():
            if _weight(batch) > _weight(self.heaviest.get(part, [])):
                self.heaviest[part] = batch
        begin = now(self.device)
        stats = self._take(batches)
        self.scheduler.step()
        self.step_seconds.append(now(self.device) - begin)
        self.forwards += stats.forwards
        self.backwards += stats.backwards
        self.losses.append(stats.loss)
        if stats.realised_fraction is not None:
            self.realised.append(stats.realised_fraction)
        if step % LOOK_EVERY[self.device.type] == 0:
            if int(self.optimizer.skipped_in_row) >= SKIPS_IN_A_ROW:
                raise Diverged(f"loss or projected_grad not finite in {SKIPS_IN_A_ROW} steps in a row")
            self.progress(self.share, f"loss {float(stats.loss):.3f}")

    def _take(self, batches: dict[str, list[Encoded]]) -> Any:
        closures = {}
        if "fo" in batches:
            closures["fo_loss"] = lambda: self._fo_loss(batches["fo"])
        # A method with a full-batch step says itself when it needs which loss.
        at_anchor = getattr(self.optimizer, "at_anchor", False)
        if "zo" in batches and not at_anchor:
            closures["zo_loss"] = lambda: self._zo_loss(batches["zo"])
        if at_anchor:
            closures["full_loss"] = self._full_loss
        return self.optimizer.step(**closures)

    def _fo_loss(self, batch: Sequence[Encoded]) -> Tensor:
        self.examples += len(batch)
        with contextlib.nullcontext() if self.spec.dropout else self.dropout.off():
            return self.scorer.loss(batch)

    def _zo_loss(self, batch: Sequence[Encoded]) -> Tensor:
        self.examples += len(batch)
        with self.dropout.off():
            return self.scorer.loss(batch)

    def _full_loss(self) -> Tensor:
        rows = sorted(self.rows["train"], key=lambda e: e.length)
        size = self.spec.eval_batch_size
        chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
        return sum(self._zo_loss(chunk) * len(chunk) for chunk in chunks) / len(rows)

    def _evaluate(self, keep: bool) -> None:
        begin = now(self.device)
        score = evaluate(self.scorer, self.rows["validation"], self.spec.eval_batch_size)
        self.eval_seconds += now(self.device) - begin
        # Losses that are not finite are counted as skipped steps.
        recent = [value for loss in self.losses if math.isfinite(value := float(loss))]
        self.losses.clear()
        self.curve.append(
            {
                "step": len(self.step_seconds),
                "train_seconds": self.train_seconds,
                "examples_forward": self.examples,
                "train_loss": fmean(recent) if recent else None,
                **score.as_dict(),
            }
        )
        self.progress(self.share, f"{self.task.metric} {score.score:.3f}")
        rank = (score.score, -score.loss)
        if keep and (self.best is None or rank > self.best[0]):
            trained = {n for n, p in self.model.named_parameters() if p.requires_grad}
            held = self.model.state_dict() if self.optimizer else {}
            state = {n: t.detach().to("cpu", copy=True) for n, t in held.items() if n in trained}
            self.best = (rank, len(self.curve) - 1, state)

    def results(self, status: str) -> dict[str, Any]:
        """What the run measured, as fields of its row; null where it did not come to it."""
        best = self.curve[self.best[1]] if self.best else None
        done = status == "done"
        part = self.assignment
        # NaN where a step intended no movement, as at a learning rate of zero.
        realised = [r for r in map(float, self.realised) if math.isfinite(r)]
        return {
            "score": self.test.score if done else None,
            "test": self.test.as_dict() if done else None,
            "validation": {k: best[k] for k in ("score", "loss", "auc", "n")} if best else None,
            "best_step": best["step"] if best else None,
            "curve": self.curve,
            "step_seconds": median(self.step_seconds) if self.step_seconds else None,
            "train_seconds": self.train_seconds,
            "train_seconds_to_best": best["train_seconds"] if best else None,
            "eval_seconds": self.eval_seconds,
            "steps": len(self.step_seconds),
            "forwards": self.forwards,
            "backwards": self.backwards,
            "examples_forward": self.examples,
            "peak_bytes": self.memory.peak,
            "peak_how": self.memory.how,
            "skipped_steps": int(self.optimizer.skipped_steps) if self.step_seconds else 0,
            "realised_fraction": fmean(realised) if realised else None,
            "length_threshold_tokens": part.length_threshold if part else None,
            "d0_rows": len(part.zo) if part else None,
            "d1_rows": len(part.fo) if part else None,
            "train_rows": len(self.rows["train"]),
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }


def _weight(batch: Sequence[Encoded]) -> int:
    """Tokens of a batch with its padding, which is what its activations grow with."""
    return len(batch) * max((e.length for e in batch), default=0)
