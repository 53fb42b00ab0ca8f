"""The training loop: step, log, evaluate, checkpoint."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from addax.step_stats import StepStats
from benchmarks.config.names import METRIC_NAMES
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.evaluate import Result, Score, evaluate_each, scores_by_length
from benchmarks.models._dropout import Dropout
from benchmarks.profiling.oom import is_out_of_memory
from benchmarks.profiling.peak_memory import PeakMemory, tensors_of
from benchmarks.profiling.timing import now
from benchmarks.training.batches import by_length, token_counts
from benchmarks.training.checkpoint import Checkpoints
from benchmarks.training.counters import RunCounters
from benchmarks.training.oom_policy import ignoring_out_of_memory, with_smaller_eval_batches
from benchmarks.training.setup import Setup
from benchmarks.training.state import copy_weights, load_state, load_weights, state_of

MAX_CONSECUTIVE_SKIPS = 20
# (used fraction of the budget, one-line status)
Progress = Callable[[float, str], None]
# (step, **values)
Log = Callable[..., None]


class Diverged(Exception):
    """Error for too many consecutive steps that are not finite."""


class Unrestorable(Exception):
    """Error for a checkpoint that does not fit the run; the caller sets it aside and starts from scratch."""


class Trainer:
    """One attempt at a run, with given batch sizes, from the start or from a checkpoint.

    Args:
        spec: the run.
        setup: its model, data, and optimizer.
        counters: its counters, which every step and evaluation updates.
        progress: called after every step and evaluation.
        log: called with the step and named values after every step and evaluation; after `restore`, first
            with those of the earlier processes.
        checkpoints: destination of the state; None saves nothing.

    Attributes:
        phase: current phase: "load", "zo", "fo", "full" (the loss of the whole training set), "eval", "best"
            (copying the best weights), or "save" (saving the model). It identifies the phase that ran out of
            memory.
        tests: after `train`, the scores of the best weights on all test rows ("test"), and on the long and on
            the short ones ("test_long", "test_short"; None without such rows or without a threshold).
    """

    def __init__(
        self,
        spec: RunSpec,
        setup: Setup,
        counters: RunCounters,
        *,
        progress: Progress,
        log: Log,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.spec, self.setup, self.counters = spec, setup, counters
        self.progress, self.checkpoints, self._log = progress, checkpoints, log
        self.model, self.optimizer = setup.model, setup.optimizer
        self.dropout = Dropout(self.model)
        # In order, without duplicates. A sharded model has several.
        self.devices = list(dict.fromkeys(p.device for p in self.model.parameters()))
        self.memory = PeakMemory(self.devices)
        self.phase = "load"
        self.best_weights: dict[str, Tensor] | None = None
        self.tests: dict[str, Score | None] = {}

    @property
    def budget_fraction(self) -> float:
        """The used fraction of the budget."""
        return self.counters.budget_fraction(self.spec.budget)

    @property
    def next_eval_at(self) -> float:
        """The budget fraction of the next evaluation; above 1 after the last one."""
        return self.counters.eval_index / self.spec.evaluations - 1e-12

    def train(self) -> None:
        """Train until the budget is used, with evaluations in between; then test the best weights.

        Raises:
            Diverged: too many consecutive steps were not finite.
        """
        if not self.counters.curve:
            # A zero-shot run has only this evaluation. In other runs, the untrained model must not become the
            # best one.
            self.evaluate(may_become_best=self.optimizer is None)
        while self.next_eval_at <= 1:
            with self.memory.training():
                while self.budget_fraction < self.next_eval_at:
                    self.train_step()
                    self.checkpoint_if_due()
            self.evaluate(may_become_best=True)
            self.checkpoint_if_due(after_evaluation=True)
        if self.optimizer and not self.memory.gpus:
            self.measure_heaviest_step()
        if self.best_weights is not None:
            load_weights(self.best_weights, self.model)
        with contextlib.nullcontext() if self.best_weights is not None else self.evaluation_weights():
            score, results = self.results("test")
        parts = scores_by_length(
            self.setup.rows["test"], results, self.setup.task.metric, self.setup.long_above
        )
        self.tests = {"test": score, "test_long": parts[0], "test_short": parts[1]}

    def train_step(self) -> None:
        """Take one optimizer step, count it, and log it."""
        counters, batches = self.counters, self._next_batches()
        lr, examples_before = self.optimizer.param_groups[0]["lr"], counters.examples_forward
        began = now(self.devices)
        stats = self._step_optimizer(batches)
        # Timing the step synchronizes the devices, so reading scalars below costs no further wait.
        seconds = now(self.devices) - began
        loss, skipped = float(stats.loss), bool(stats.skipped)
        projected_grad = None if stats.projected_grad is None else float(stats.projected_grad)
        counters.record_step(seconds, stats.forwards, stats.backwards, loss, skipped)
        counters.examples += sum(map(len, batches.values()))
        backward_cost = (3 if self.spec.gradient_checkpointing else 2) * stats.backwards
        counters.forward_equivalents += counters.examples_forward - examples_before
        counters.forward_equivalents += backward_cost * len(batches.get("fo", ()))
        counters.masked_steps += bool(stats.masked_gradients is not None and stats.masked_gradients)
        if stats.realized_fraction is not None:
            counters.realized.append(float(stats.realized_fraction))
        if (peak := self.memory.so_far()) is not None:
            counters.peak_bytes = max(peak, counters.peak_bytes or 0)
        # The schedule follows the budget, so it needs the counters updated above.
        self.setup.scheduler.step()
        self.log(
            loss=loss,
            lr=lr,
            projected_grad=projected_grad,
            step_seconds=seconds,
            peak_bytes=counters.peak_bytes,
        )
        if counters.consecutive_skips >= MAX_CONSECUTIVE_SKIPS:
            raise Diverged(f"loss or projected_grad not finite in {MAX_CONSECUTIVE_SKIPS} consecutive steps")
        self.progress(self.budget_fraction, f"loss {loss:.3f}")

    def evaluate(self, *, may_become_best: bool) -> None:
        """Score the validation rows, and copy the weights if they are the best so far."""
        counters = self.counters
        with self.evaluation_weights():
            score, _ = self.results("validation")
            counters.record_evaluation(score.as_dict())
            # If there are more evaluations than steps, one step can pass several evaluations.
            while self.next_eval_at <= self.budget_fraction:
                counters.eval_index += 1
            if may_become_best and counters.record_best() and self.optimizer:
                self.phase = "best"
                self.best_weights = copy_weights(self.model, self.best_weights)
        values = {k: v for k, v in score.as_dict().items() if k != "n"}
        self.log(**{f"validation/{name}": value for name, value in values.items()})
        self.progress(self.budget_fraction, f"{METRIC_NAMES[self.setup.task.metric]} {score.score:.3f}")

    def evaluation_weights(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the model holds the weights to evaluate and to save."""
        return self.optimizer.evaluation_weights() if self.optimizer else contextlib.nullcontext()

    def results(self, split: str) -> tuple[Score, list[Result]]:
        """Return the score on the rows of a split, and the result of each row."""
        self.phase = "eval"
        began = now(self.devices)
        scorer, rows = self.setup.scorer, self.setup.rows[split]
        found = with_smaller_eval_batches(lambda size: evaluate_each(scorer, rows, size), self.counters)
        self.counters.eval_seconds += now(self.devices) - began
        return found

    def log(self, **values: float | None) -> None:
        """Log values of the current step, and keep them for a process that resumes the run."""
        self.counters.logged.append((self.counters.steps, values))
        self._log(self.counters.steps, **values)

    def checkpoint_if_due(self, *, after_evaluation: bool = False) -> None:
        """Save the state and the best weights if it is time to."""
        if self.checkpoints and self.checkpoints.pace.due(after_evaluation=after_evaluation):
            with self.evaluation_weights():
                state = state_of(self.model, self.optimizer, self.setup.scheduler, self.counters)
                if self.counters.best_step == self.counters.steps:
                    # These are the best weights, which have a file of their own.
                    state["weights"] = None
                self.checkpoints.save(state, self.best_weights, self.counters.best_step)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state, except for its counters, which the caller has loaded.

        Raises:
            Unrestorable: the state does not fit the run.
        """
        try:
            if state["best"] is not None:
                load_weights(state["best"], self.model)
                self.best_weights = copy_weights(self.model, self.best_weights)
            load_state(state, self.model, self.optimizer, self.setup.scheduler)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise Unrestorable(str(error)) from error
        self.counters.resumed.append(self.counters.steps)
        for step, values in self.counters.logged:
            self._log(step, **values)

    def measure_heaviest_step(self) -> None:
        """Measure on a CPU the peak memory over all kinds of steps, on the heaviest batches of the run.

        These batches may not have occurred in the same step. If together they run out of memory, the peak is
        left unmeasured. The steps change the model's weights, but not the copy of the best weights.
        """
        examples_before, batches = self.counters.examples_forward, self._heaviest_batches()

        def step_of_each_kind() -> None:
            seen = set()
            while len(seen) < self.optimizer.step_kinds:
                closures = self.optimizer.next_closures()
                seen.add(closures)
                stats = self._step_optimizer({part: batches[part] for part in _parts(closures)})
                if stats.skipped:
                    # A skipped step does not advance, so the loop might not end.
                    break

        with ignoring_out_of_memory():
            self.memory.heaviest_step(tensors_of(self.model, self.optimizer), step_of_each_kind)
        self.counters.examples_forward = examples_before
        self.counters.peak_bytes = self.memory.so_far()

    def heaviest_batches(self) -> dict[str, list[list[Any]]]:
        """Return the `token_counts` of each closure's heaviest batch; empty before the first step."""
        if not self.counters.heaviest:
            return {}
        batches = self._heaviest_batches()
        # The full loss keeps one chunk in memory at a time.
        batches["full"] = max(self._chunks(), key=lambda rows: len(rows) * rows[-1].length)
        parts = [part for part in _parts(self.optimizer.closures) if part in batches]
        return {part: token_counts(batches[part]) for part in parts}

    def _next_batches(self) -> dict[str, Sequence[Encoded]]:
        """Return the batch of each closure that the next step needs, and record the heaviest batches."""
        batches, counters = self.setup.batches, self.counters
        indices = batches.at(counters.steps)
        counters.heaviest = batches.heavier(counters.heaviest, indices)
        drawn = batches.of(indices) | {"full": self.setup.rows["train"]}
        return {part: drawn[part] for part in _parts(self.optimizer.next_closures())}

    def _heaviest_batches(self) -> dict[str, Sequence[Encoded]]:
        return self.setup.batches.of(self.counters.heaviest) | {"full": self.setup.rows["train"]}

    def _step_optimizer(self, batches: Mapping[str, Sequence[Encoded]]) -> StepStats:
        closures = {}
        for part, batch in batches.items():
            # An optimizer evaluates a closure several times. The whole training set stays on the host instead
            # of filling the device.
            self.phase = part
            closures[f"{part}_loss"] = (
                self._full_loss
                if part == "full"
                else partial(self._loss, part, self.setup.scorer.prepare(batch))
            )
        return self.optimizer.step(**closures)

    def _loss(self, part: str, batch: Sequence[Encoded]) -> Tensor:
        """Return the loss of a batch; only first-order losses use dropout."""
        self.phase = part
        self.counters.examples_forward += len(batch)
        with_dropout = part == "fo" and self.spec.dropout
        with contextlib.nullcontext() if with_dropout else self.dropout.off():
            return self.setup.scorer.loss(batch)

    def _full_loss(self) -> Tensor:
        """Return the loss of the whole training set, evaluated in chunks."""
        total = len(self.setup.rows["train"])
        return sum(self._loss("full", chunk) * len(chunk) for chunk in self._chunks()) / total

    def _chunks(self) -> list[list[Encoded]]:
        return by_length(self.setup.rows["train"], self.counters.batch_sizes["eval_batch_size"])


def _parts(closures: Sequence[str]) -> list[str]:
    return [name.removesuffix("_loss") for name in closures]
