"""Criteria for the difficulty of the built-in tasks: what zero-shot, MeZO, and Adam must reach and miss.

The criteria follow from what a comparison of methods needs. A model that already knows the task leaves
nothing to learn, and a method that reaches the maximum cannot be exceeded.
"""

from collections.abc import Mapping
from dataclasses import dataclass

ZERO_SHOT, MEZO, ADAM = "zero-shot", "mezo", "adam"
METHODS = (ZERO_SHOT, MEZO, ADAM)
# Adam trained on short examples only.
ADAM_SHORT = "adam, short only"
# Percentage points, and an area under the ROC curve.
HIGHEST_AUC = 0.8
NEAR_MAJORITY = 10.0
ADAM_GAIN, ADAM_MAXIMUM = 15.0, 97.0
MEZO_GAIN, MEZO_GAP = 5.0, 5.0
# The number of the nine tasks on which MeZO must learn, and on which it must be behind Adam.
MEZO_TASKS = 6
# On long test rows, relative to zero-shot.
SHORT_DISTANCE, ALL_GAIN = 5.0, 15.0


@dataclass(frozen=True)
class Scores:
    """Mean test scores on one task, in percent, and the mean AUC of zero-shot.

    Attributes:
        task: name of the task.
        score: method -> score.
        auc: AUC of zero-shot, None for a task without two fixed candidates.
        majority: score of the majority answer; None if it is unknown.
    """

    task: str
    score: Mapping[str, float]
    auc: float | None
    majority: float | None


@dataclass(frozen=True)
class Finding:
    """A criterion on a task: what it measures, the value, the bound, and whether the value satisfies it."""

    task: str
    what: str
    value: float
    bound: str
    met: bool


def of_task(scores: Scores) -> list[Finding]:
    """Return the criteria that a task must meet by itself.

    The AUC of a task with two fixed candidates does not depend on a bias toward one of them. On other tasks,
    zero-shot must be close to the majority answer.
    """
    zero, adam = scores.score[ZERO_SHOT], scores.score[ADAM]
    if scores.auc is not None:
        first = _at_most(scores, "AUC of zero-shot", scores.auc, HIGHEST_AUC)
    else:
        distance = abs(zero - scores.majority)
        first = _at_most(scores, "distance of zero-shot from the majority answer", distance, NEAR_MAJORITY)
    return [
        first,
        _at_least(scores, "gain of Adam over zero-shot", adam - zero, ADAM_GAIN),
        _at_most(scores, "score of Adam", adam, ADAM_MAXIMUM),
    ]


def of_long_task(scores: Scores) -> list[Finding]:
    """Return the criteria of a task whose long examples matter, for its scores on long test rows."""
    zero = scores.score[ZERO_SHOT]
    return [
        _at_most(
            scores, "distance of Adam on short examples", abs(scores.score[ADAM_SHORT] - zero), SHORT_DISTANCE
        ),
        _at_least(scores, "gain of Adam on all examples", scores.score[ADAM] - zero, ALL_GAIN),
    ]


def mezo_learns(scores: Scores) -> Finding:
    """Return whether MeZO exceeds zero-shot; it must do so on `MEZO_TASKS` tasks."""
    gain = scores.score[MEZO] - scores.score[ZERO_SHOT]
    return _at_least(scores, "gain of MeZO over zero-shot", gain, MEZO_GAIN)


def mezo_is_behind(scores: Scores) -> Finding:
    """Return whether MeZO is behind Adam; it must be so on `MEZO_TASKS` tasks."""
    gap = scores.score[ADAM] - scores.score[MEZO]
    return _at_least(scores, "gap between Adam and MeZO", gap, MEZO_GAP)


def _at_most(scores: Scores, what: str, value: float, bound: float) -> Finding:
    return Finding(scores.task, what, value, f"at most {bound:g}", value <= bound)


def _at_least(scores: Scores, what: str, value: float, bound: float) -> Finding:
    return Finding(scores.task, what, value, f"at least {bound:g}", value >= bound)
