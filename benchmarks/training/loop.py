"""The only training loop: one attempt at a run with given batch sizes, from its start or a checkpoint."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from addax import assignment
from benchmarks import models, tasks
from benchmarks.config.methods import build_optimizer
from benchmarks.config.spec import RunSpec
from benchmarks.config.validation import ZERO_SHOT
from benchmarks.data.splits import Splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.evaluation.evaluate import Score, evaluate
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _trainable as parameters
from benchmarks.models._dropout import Dropout
from benchmarks.profiling.oom import OutOfMemory, attempt, recognise, smaller
from benchmarks.profiling.peak_memory import PeakMemory, now, tensors_of
from benchmarks.training.batches import Batches
from benchmarks.training.checkpoint import Checkpoints
from benchmarks.training.counters import Tally
from benchmarks.training.state import copy_weights, restore, sizes_of, state_of

SKIPS_IN_A_ROW = 20
T = TypeVar("T")
# (share of the budget used, one line on where the run is)
Progress = Callable[[float, str], None]
# (step, named values): what a tracker is told.
Log = Callable[..., None]


class Diverged(Exception):
    """Too many steps in a row were not finite."""


class Unrestorable(Exception):
    """A checkpoint that was read does not fit the run: whoever catches this sets it aside and begins anew."""


class Attempt:
    """The state of one attempt.

    Args:
        spec: what to run.
        splits: its data.
        tally: batch sizes to use; everything else is counted into it.
        progress: called now and then.
        log: called after every step and evaluation.
        checkpoints: where the state is kept, and continued from; None keeps none.

    Raises:
        UserError: the spec does not fit its data or model.
        OutOfMemory: the model does not fit.
        Unrestorable: the checkpoint does not.
    """

    def __init__(
        self,
        spec: RunSpec,
        splits: Splits,
        tally: Tally,
        *,
        progress: Progress,
        log: Log,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.spec, self.progress, self.log, self.checkpoints = spec, progress, log, checkpoints
        self.task = tasks.load(spec.task)
        self.tally = tally
        self.began = time.perf_counter()
        self.part = "load"
        labels = len(self.task.candidates(splits.train[0])) if spec.head == "classification" else None
        self.loaded = self._fitting(
            lambda: models.load(
                spec.model,
                dtype=getattr(torch, spec.dtype),
                device=spec.device,
                head=spec.head,
                num_labels=labels,
            )
        )
        self.model = self.loaded.model
        self._fitting(lambda: parameters.select(self.model, spec.trainable))
        self.scorer = Scorer(self.loaded, self.task, spec.head, spec.scoring)
        self.device = self.scorer.device
        self.rows = {
            name: encode(getattr(splits, name), self.task, self.loaded, spec.head)
            for name in ("train", "validation", "test")
        }
        self.dropout = Dropout(self.model)
        self.memory = PeakMemory(p.device for p in self.model.parameters())
        self.best_weights: dict[str, Tensor] | None = None
        self.sizes: tuple[int, int] | None = None
        self.test: Score | None = None
        self.assignment: assignment.Assignment | None = None
        self.optimizer = None
        if spec.method != ZERO_SHOT:
            state = self.checkpoints.take() if self.checkpoints else None
            if state is not None:
                # Before batches are drawn: their sizes may have come down.
                vars(self.tally).update(state["tally"])
            self._prepare()
            if state is not None:
                self._restore(state)

    def _prepare(self) -> None:
        spec = self.spec
        self.batches = Batches(spec, self.rows["train"], self.tally.sizes)
        self.assignment = self.batches.assignment
        if spec.gradient_checkpointing:
            self.model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
        try:
            self.optimizer = build_optimizer(spec, self.model)
        except ValueError as error:
            raise UserError(f"{spec.method} on {spec.model}: {error}") from None
        decay = (lambda step: 1 - min(self.share, 1)) if spec.schedule == "linear" else (lambda step: 1.0)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, decay)
        # Dropout draws from torch's own generators, which a run begins with its seed.
        torch.manual_seed(spec.seed)

    @property
    def share(self) -> float:
        """The part of the budget that is used."""
        if self.spec.method == ZERO_SHOT:
            return 1.0
        name, amount = self.spec.budget
        return (self.tally.train_seconds if name == "seconds" else getattr(self.tally, name)) / amount

    def train(self) -> None:
        """Trains, evaluates on the way, and tests the best weights.

        Raises:
            Diverged: too many steps in a row were not finite.
            OutOfMemory: a batch does not fit.
        """
        spec, tally = self.spec, self.tally
        if not tally.curve:
            self._evaluate(keep=spec.method == ZERO_SHOT)
        for k in range(tally.segment, spec.evaluations + 1 if self.optimizer else 1):
            tally.segment, due = k, k / spec.evaluations - 1e-12
            with self.memory.training():
                while self.share < due:
                    self._step(tally.steps)
            # Where evaluations outnumber steps, nothing has changed since the last one.
            if tally.steps > tally.curve[-1]["step"]:
                self._evaluate(keep=True)
        if self.optimizer and self.device.type == "cpu":
            self._measure_heaviest()
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights, strict=False)
        self.test = self._scored("test")

    def _measure_heaviest(self) -> None:
        """One more step on the heaviest batches of the run; the best checkpoint is already kept.

        They need not have met before: where both at once do not fit, the peak is not known, the run stands.
        """
        counted, skipped = self.tally.examples_forward, self.optimizer.skipped_steps
        batches = self.batches.of(self.tally.heaviest)

        def step() -> None:
            # A method with an anchor has two kinds of step.
            for _ in range(getattr(self.optimizer, "anchor_every", 1)):
                self._fitting(lambda: self._take(batches))

        with contextlib.suppress(OutOfMemory):
            self.memory.heaviest_step(tensors_of(self.model, self.optimizer), step)
        self.tally.examples_forward, self.optimizer.skipped_steps = counted, skipped
        self.tally.peak_bytes = self.memory.so_far()

    def heaviest_batches(self) -> dict[str, list[Encoded]]:
        """Of each closure, the batch that takes most memory; empty before the first step."""
        batches = self.batches.of(self.tally.heaviest)
        if batches and hasattr(self.optimizer, "at_anchor"):
            batches["full"] = max(self._chunks(), key=lambda rows: len(rows) * rows[-1].length)
        return batches

    def _step(self, step: int) -> None:
        tally = self.tally
        indices = self.batches.at(step)
        batches = self.batches.of(indices)
        tally.heaviest = self.batches.heavier(tally.heaviest, indices)
        lr, at_anchor = self.optimizer.param_groups[0]["lr"], getattr(self.optimizer, "at_anchor", False)
        before = tally.examples_forward
        begin = now(self.device)
        stats = self._fitting(lambda: self._take(batches))
        seconds = now(self.device) - begin
        loss = float(stats.loss)
        tally.stepped(seconds, stats.forwards, stats.backwards, loss)
        tally.examples += len(self.rows["train"]) if at_anchor else sum(map(len, batches.values()))
        backward = (3 if self.spec.gradient_checkpointing else 2) * stats.backwards
        tally.forward_equivalents += tally.examples_forward - before + backward * len(batches.get("fo", ()))
        # The rate of the next step goes by the budget that is used now.
        self.scheduler.step()
        if stats.realised_fraction is not None:
            tally.realised.append(float(stats.realised_fraction))
        self._note_peak()
        grad = None if stats.projected_grad is None else float(stats.projected_grad)
        self.log(
            tally.steps,
            loss=loss,
            lr=lr,
            projected_grad=grad,
            step_seconds=seconds,
            peak_bytes=tally.peak_bytes,
        )
        if int(self.optimizer.skipped_in_row) >= SKIPS_IN_A_ROW:
            raise Diverged(f"loss or projected_grad not finite in {SKIPS_IN_A_ROW} steps in a row")
        self.progress(self.share, f"loss {loss:.3f}")
        self._checkpoint()

    def _note_peak(self) -> None:
        peak = self.memory.so_far()
        if peak is not None:
            self.tally.peak_bytes = max(peak, self.tally.peak_bytes or 0)

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
        self.part = "fo"
        self.tally.examples_forward += len(batch)
        with contextlib.nullcontext() if self.spec.dropout else self.dropout.off():
            return self.scorer.loss(batch)

    def _zo_loss(self, batch: Sequence[Encoded], part: str = "zo") -> Tensor:
        self.part = part
        self.tally.examples_forward += len(batch)
        with self.dropout.off():
            return self.scorer.loss(batch)

    def _full_loss(self) -> Tensor:
        chunks, total = self._chunks(), len(self.rows["train"])
        return sum(self._zo_loss(chunk, "full") * len(chunk) for chunk in chunks) / total

    def _chunks(self) -> list[list[Encoded]]:
        """The training rows by length, in parts of an evaluation batch."""
        rows = sorted(self.rows["train"], key=lambda e: e.length)
        size = self.tally.sizes["eval_batch_size"]
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    def _evaluate(self, keep: bool) -> None:
        score = self._scored("validation")
        tally = self.tally
        tally.evaluated(score.as_dict())
        # The next evaluation is the first whose steps a checkpoint may hold.
        rank = [score.score, -score.loss]
        if keep and (tally.best is None or rank > tally.best[0]):
            tally.best = [rank, len(tally.curve) - 1]
            if self.optimizer:
                self.part = "best"
                self.best_weights = self._fitting(lambda: copy_weights(self.model, self.best_weights))
        self.log(tally.steps, **{f"validation/{k}": v for k, v in score.as_dict().items() if k != "n"})
        self.progress(self.share, f"{self.task.metric} {score.score:.3f}")
        self._checkpoint()

    def _scored(self, name: str) -> Score:
        """The score on rows of a split; the batch is halved where it does not fit, which changes no score."""
        begin = now(self.device)
        while True:
            self.part = "eval"
            size = self.tally.sizes["eval_batch_size"]
            try:
                score = self._fitting(lambda size=size: evaluate(self.scorer, self.rows[name], size))
                break
            except OutOfMemory as error:
                sizes = smaller(self.tally.sizes, error.part)
                if sizes is None:
                    raise
                self.tally.tried.append(attempt(self.tally.sizes, error.part, error.bytes_asked))
                self.tally.sizes = sizes
        self.tally.eval_seconds += now(self.device) - begin
        return score

    def _fitting(self, work: Callable[[], T]) -> T:
        """What `work` returns; an allocation that fails in it ends as `OutOfMemory`."""
        try:
            return work()
        except Exception as error:
            known, asked = recognise(error)
            if not known:
                raise
        # Out here the traceback of the failure, and the activations that it holds on to, are gone.
        raise OutOfMemory(self.part, asked)

    def _checkpoint(self) -> None:
        tally = self.tally
        if self.checkpoints is None or not tally.steps:
            return
        self.sizes = self.sizes or sizes_of(self.model, self.optimizer)
        best = tally.curve[tally.best[1]]["step"] if tally.best else None
        if not self.checkpoints.due(tally.train_seconds, self.sizes[0], best, self.sizes[1]):
            return

        def make() -> dict[str, Any]:
            state = state_of(self.model, self.optimizer, self.scheduler, tally)
            state["tally"]["wall_seconds"] += time.perf_counter() - self.began
            return state

        self.checkpoints.save(make, self.best_weights, best, train_seconds=tally.train_seconds)

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self._fitting(lambda: restore(state, self.model, self.optimizer, self.scheduler))
        except OutOfMemory:
            raise
        except Exception as error:
            raise Unrestorable(str(error)) from error
        self.tally.resumed.append(self.tally.steps)
        self.best_weights = state["best"]
