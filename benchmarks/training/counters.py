"""What a run has measured so far: plain values, which its row reports and its checkpoint holds."""

import math
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from addax.assignment import Assignment


@dataclass
class Tally:
    """Counters of one run, over all the processes that worked on it.

    Attributes:
        sizes: batch sizes in use: zo_batch_size, fo_batch_size (where the method has them), eval_batch_size.
        tried: those that ran out of memory, with the part and the bytes asked for.
        curve: every evaluation on the validation rows.
        losses: of the steps since the last of them.
        realised: parts of steps that arrived in 16 bits, where measured.
        step_seconds, train_seconds: of every step, and in all, evaluation excluded.
        eval_seconds, wall_seconds: of evaluations; of everything, in processes that were stopped.
        forwards, backwards: counts of closures and of backward passes.
        examples_forward: examples in forwards.
        examples: training examples drawn into batches; a full-batch step draws them all.
        forward_equivalents: examples in forwards, plus two for each one in a backward pass and one more where
            its forward is computed again (gradient checkpointing).
        heaviest: indices of the training rows in the heaviest batch of each part.
        peak_bytes: of training.
        best: (score, -loss) on validation of the best evaluation, and its place in `curve`.
        segment: the evaluation, counted from 1, to which the run is on its way.
        resumed: the steps from which stopped processes' work was taken up.
        started: when the run began, in ISO 8601.
    """

    sizes: dict[str, int]
    tried: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    realised: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    wall_seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    examples_forward: int = 0
    examples: int = 0
    forward_equivalents: int = 0
    heaviest: dict[str, list[int]] = field(default_factory=dict)
    peak_bytes: int | None = None
    best: list[Any] | None = None
    segment: int = 1
    resumed: list[int] = field(default_factory=list)
    started: str = ""

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return len(self.step_seconds)

    def stepped(self, seconds: float, forwards: int, backwards: int, loss: float) -> None:
        """Counts a step."""
        self.step_seconds.append(seconds)
        self.train_seconds += seconds
        self.forwards += forwards
        self.backwards += backwards
        self.losses.append(loss)

    def evaluated(self, score: dict[str, Any]) -> None:
        """Adds an evaluation to the curve; losses that are not finite are counted as skipped steps."""
        recent = [loss for loss in self.losses if math.isfinite(loss)]
        self.losses.clear()
        self.curve.append(
            {
                "step": self.steps,
                "train_seconds": self.train_seconds,
                "examples_forward": self.examples_forward,
                "examples": self.examples,
                "forward_equivalents": self.forward_equivalents,
                "train_loss": fmean(recent) if recent else None,
                **score,
            }
        )

    def as_fields(self) -> dict[str, Any]:
        """What a row says of it; null where the run did not come to it."""
        best = self.curve[self.best[1]] if self.best else None
        # NaN where a step intended no movement, as at a learning rate of zero.
        realised = [r for r in self.realised if math.isfinite(r)]
        return {
            "validation": {k: best[k] for k in ("score", "loss", "auc", "n")} if best else None,
            "best_step": best["step"] if best else None,
            "curve": self.curve,
            "step_seconds": median(self.step_seconds) if self.step_seconds else None,
            "train_seconds": self.train_seconds,
            "train_seconds_to_best": best["train_seconds"] if best else None,
            "eval_seconds": self.eval_seconds,
            "steps": self.steps,
            "forwards": self.forwards,
            "backwards": self.backwards,
            "examples_forward": self.examples_forward,
            "examples": self.examples,
            "forward_equivalents": self.forward_equivalents,
            "peak_bytes": self.peak_bytes,
            "realised_fraction": fmean(realised) if realised else None,
            "batch_sizes": self.sizes,
            "batch_sizes_tried": self.tried,
            "resumed_at_steps": self.resumed,
        }


def pools(part: Assignment | None) -> dict[str, Any]:
    """What a row says of the assignment; null for a run without one."""
    return {
        "length_threshold_tokens": part.length_threshold if part else None,
        "d0_rows": len(part.zo) if part else None,
        "d1_rows": len(part.fo) if part else None,
    }
