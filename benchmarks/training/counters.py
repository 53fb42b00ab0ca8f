"""Counters of a run: plain values that its row reports and its checkpoint stores."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from addax.assignment import Assignment


@dataclass
class RunCounters:
    """Counters of a run, summed over all processes that worked on it.

    Attributes:
        batch_sizes: current sizes: zo_batch_size and fo_batch_size (if the method has them), eval_batch_size.
        oom_attempts: batch sizes that ran out of memory, with the phase and the bytes requested.
        curve: all evaluations on the validation rows.
        losses: training losses of the steps since the last evaluation.
        realized: realized fractions of the intended update in 16-bit weights, from the steps that measure it.
        step_seconds: seconds of each step.
        train_seconds: seconds of all steps, without evaluation.
        eval_seconds: seconds of all evaluations.
        earlier_wall_seconds: wall time of earlier processes of the run.
        forwards, backwards: evaluations of closures, and backward passes.
        examples_forward: examples in forward passes.
        examples: training examples drawn into batches; a full-batch step draws all training rows.
        forward_equivalents: examples in forward passes, plus two per example in a backward pass, plus one
            more if its forward pass is recomputed (gradient checkpointing).
        skipped_steps, consecutive_skips: number of non-finite steps in total, and since the last finite step.
        masked_steps: number of steps in which gradients that were not finite were left out.
        heaviest: for each part ("zo", "fo"), indices of the training rows in its heaviest batch.
        peak_bytes: peak memory of training.
        best: [score, -loss] of the best evaluation on the validation rows, and its index in `curve`.
        eval_index: number of the next evaluation, counted from 1.
        logged: every call of the run's log, as (step, values by name), so that a process that resumes the run
            can log it from the start.
        resumed: steps at which the run was resumed.
        started: when the run began, in ISO 8601.
        began: reading of this process's clock when the run began, in seconds.
    """

    batch_sizes: dict[str, int]
    oom_attempts: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    realized: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    earlier_wall_seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    examples_forward: int = 0
    examples: int = 0
    forward_equivalents: int = 0
    skipped_steps: int = 0
    consecutive_skips: int = 0
    masked_steps: int = 0
    heaviest: dict[str, list[int]] = field(default_factory=dict)
    peak_bytes: int | None = None
    best: list[Any] | None = None
    eval_index: int = 1
    logged: list[tuple[int, dict[str, float | None]]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    started: str = ""
    began: float = field(default_factory=time.perf_counter)

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return len(self.step_seconds)

    @property
    def wall_seconds(self) -> float:
        """Wall time of the run, in all its processes."""
        return self.earlier_wall_seconds + time.perf_counter() - self.began

    @property
    def best_step(self) -> int | None:
        """The step of the best evaluation; None before the first one."""
        return self.curve[self.best[1]]["step"] if self.best else None

    def budget_fraction(self, budget: tuple[str, float]) -> float:
        """Return the used fraction of a budget (name, amount); 1 if the amount is 0."""
        name, amount = budget
        used = self.train_seconds if name == "seconds" else getattr(self, name)
        return used / amount if amount else 1.0

    def record_step(self, seconds: float, forwards: int, backwards: int, loss: float, skipped: bool) -> None:
        """Add a step to the counters."""
        self.step_seconds.append(seconds)
        self.train_seconds += seconds
        self.forwards += forwards
        self.backwards += backwards
        self.losses.append(loss)
        self.skipped_steps += skipped
        self.consecutive_skips = self.consecutive_skips + 1 if skipped else 0

    def record_evaluation(self, score: Mapping[str, Any]) -> None:
        """Append an evaluation to the curve, with the mean of the finite training losses before it."""
        finite = [loss for loss in self.losses if math.isfinite(loss)]
        self.losses.clear()
        self.curve.append(
            {
                "step": self.steps,
                "train_seconds": self.train_seconds,
                "examples_forward": self.examples_forward,
                "examples": self.examples,
                "forward_equivalents": self.forward_equivalents,
                "train_loss": fmean(finite) if finite else None,
                **score,
            }
        )

    def record_best(self) -> bool:
        """Return whether the last evaluation is the best so far; if it is, record it."""
        last = self.curve[-1]
        # A non-finite loss must not win a tie, and every comparison with NaN is false.
        rank = [last["score"], -last["loss"] if math.isfinite(last["loss"]) else -math.inf]
        if self.best is not None and rank <= self.best[0]:
            return False
        self.best = [rank, len(self.curve) - 1]
        return True

    def restarted(self) -> "RunCounters":
        """Return new counters for a restart of the run with the current batch sizes."""
        return RunCounters(
            self.batch_sizes,
            self.oom_attempts,
            started=self.started,
            earlier_wall_seconds=self.earlier_wall_seconds,
            began=self.began,
        )

    def state(self) -> dict[str, Any]:
        """Return the plain values from which another process can continue."""
        values = {name: value for name, value in vars(self).items() if name != "began"}
        return values | {"earlier_wall_seconds": self.wall_seconds}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Load the state that `state` returned in an earlier process."""
        vars(self).update(state)

    def as_fields(self) -> dict[str, Any]:
        """Return the row fields of the counters; None for values that the run did not reach."""
        best = self.curve[self.best[1]] if self.best else None
        # The fraction is NaN for a step with a zero update, such as a step with a learning rate of zero.
        realized = [fraction for fraction in self.realized if math.isfinite(fraction)]
        return {
            "validation": {k: best[k] for k in ("score", "loss", "auc", "n")} if best else None,
            "best_step": self.best_step,
            "curve": self.curve,
            "step_seconds": median(self.step_seconds) if self.step_seconds else None,
            "train_seconds": self.train_seconds,
            "train_seconds_to_best": best["train_seconds"] if best else None,
            "eval_seconds": self.eval_seconds,
            "wall_seconds": self.wall_seconds,
            "steps": self.steps,
            "skipped_steps": self.skipped_steps,
            "masked_steps": self.masked_steps,
            "forwards": self.forwards,
            "backwards": self.backwards,
            "examples_forward": self.examples_forward,
            "examples": self.examples,
            "forward_equivalents": self.forward_equivalents,
            "peak_bytes": self.peak_bytes,
            "realized_fraction": fmean(realized) if realized else None,
            "batch_sizes": self.batch_sizes,
            "batch_sizes_tried": self.oom_attempts,
            "resumed_at_steps": self.resumed,
            "started": self.started,
        }


def assignment_fields(assignment: Assignment | None) -> dict[str, Any]:
    """Return the row fields of the assignment to D0 and D1; None for a run without an assignment."""
    return {
        "length_threshold_tokens": assignment.length_threshold if assignment else None,
        "d0_rows": len(assignment.zo) if assignment else None,
        "d1_rows": len(assignment.fo) if assignment else None,
    }
