"""Tables of the study `directions`: variances, scores, and steps to a target score."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.results import paired
from benchmarks.results.majority import LABEL
from benchmarks.results.stats import LEVEL

Rows = Sequence[Mapping[str, Any]]
NAMES = {"normal": "normals", "rademacher": "signs"}
NORMAL, SIGNS = NAMES
# The share of the mean gain of the runs with normals that a run has to reach.
SHARE = 0.5


@dataclass(frozen=True)
class Comparison:
    """Runs of one method that form pairs: equal task and seed, and another direction.

    Attributes:
        label: the method.
        title: the task, or `paired.ALL`.
        normals: a value per pair: scores in percent, or steps.
        signs: the same for the runs with signs.
        target: the target score in percent; None for scores.
        reached: the numbers of runs with normals and with signs that reached the target.
        majority: the majority score of each pair in percent; nan for rows without it. None for steps.
    """

    label: str
    title: str
    normals: np.ndarray
    signs: np.ndarray
    target: float | None = None
    reached: tuple[int, int] = (0, 0)
    majority: np.ndarray | None = None

    @property
    def differences(self) -> np.ndarray:
        """The differences signs - normals."""
        return self.signs - self.normals


def table(rows: Rows) -> str:
    """Return all tables as text."""
    parts = (("Variance", variance), ("Scores", scores), ("Steps", steps))
    return "\n\n".join(f"{head}\n{build(rows)}" for head, build in parts)


def variance(rows: Rows) -> str:
    """Return a Markdown table of the measured and the exact variances."""
    lines = [
        {
            "parameters": row["which"],
            "d": f"{row['parameters']:,}",
            "directions": NAMES[row["direction"]],
            "number of z": f"{row['draws']:,}",
            "mean along g": _with_error(*row["mean"], 3),
            "total": _with_error(*row["total"][:2], 0 if row["parameters"] > 1000 else 1),
            "total, exact": f"{row['total'][2]:,.0f}",
            "along g": _with_error(*row["along"][:2], 2),
            "along g, exact": f"{row['along'][2]:.2f}",
        }
        for row in rows
        if row["measure"] == "variance"
    ]
    return _pipe(lines)


def scores(rows: Rows) -> str:
    """Return a Markdown table of the test scores, with paired differences."""
    found = list(comparisons(rows, _scores))
    lines = [_compared(c, "points", ".1f") for c in found]
    if any(not np.isnan(c.majority).all() for c in found):
        for line, c in zip(lines, found, strict=True):
            line[LABEL] = "–" if np.isnan(c.majority).any() else f"{c.majority.mean():.1f}"
    return _pipe(lines)


def steps(rows: Rows) -> str:
    """Return a Markdown table of the steps to a target score, with paired differences.

    The target of a method on a task is `SHARE` of the way from the mean validation score before training to
    that after training with normals. A run takes the steps to the first validation at or above the target; a
    run that never gets there counts as one validation later than the last.
    """
    lines = []
    for c in comparisons(rows, _steps):
        target = {} if c.target is None else {"target (%)": f"{c.target:.1f}"}
        reached = {f"reached, {name}": str(n) for name, n in zip(NAMES.values(), c.reached, strict=True)}
        both = {"method": c.label, "task": c.title, "target (%)": "–"} | target | reached
        lines.append(both | _compared(c, "steps", ".0f"))
    return _pipe(lines)


def problem(rows: Rows) -> str | None:
    """Return a line if runs with signs are significantly worse than those with normals over all tasks."""
    for c in comparisons(rows, _scores):
        low, high = paired.interval(c.differences)
        if c.title == paired.ALL and high < 0:
            return f"{c.label}: signs lose {-c.differences.mean():.1f} points ({low:+.1f} to {high:+.1f})"
    return None


Values = Callable[[Rows, Rows], Comparison]


def comparisons(rows: Rows, compare: Values) -> Iterator[Comparison]:
    """Yield a comparison for each method and task, and then one for each method over all tasks.

    Pairs without two scores are left out.
    """
    cells: dict[str, dict[str, dict]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["measure"] == "run" and row["outcome"] == "done":
            cells[row["label"]][row["task_title"]][row["seed"], row["direction"]] = row
    for of_task in cells.values():
        found = []
        for runs in of_task.values():
            seeds = sorted({seed for seed, _ in runs})
            pairs = [(runs[s, NORMAL], runs[s, SIGNS]) for s in seeds if {(s, d) for d in NAMES} <= {*runs}]
            if pairs:
                found.append(compare(*zip(*pairs, strict=True)))
        yield from found
        if len(found) > 1:
            yield Comparison(
                found[0].label,
                paired.ALL,
                np.concatenate([c.normals for c in found]),
                np.concatenate([c.signs for c in found]),
                reached=tuple(sum(c.reached[i] for c in found) for i in (0, 1)),
                majority=None
                if any(c.majority is None for c in found)
                else np.concatenate([c.majority for c in found]),
            )


def _scores(normals: Rows, signs: Rows) -> Comparison:
    first = normals[0]
    values = [np.array([100 * row["score"] for row in rows]) for rows in (normals, signs)]
    majority = np.array([100 * row.get("majority", np.nan) for row in normals])
    return Comparison(first["label"], first["task_title"], *values, majority=majority)


def _steps(normals: Rows, signs: Rows) -> Comparison:
    first = normals[0]
    before, after = (mean(row["curve"][i][1] for row in normals) for i in (0, -1))
    target = before + SHARE * (after - before)
    taken = [[steps_to(row["curve"], target) for row in rows] for rows in (normals, signs)]
    reached = tuple(sum(steps <= first["steps"] for steps in values) for values in taken)
    values = [np.array(values, float) for values in taken]
    return Comparison(first["label"], first["task_title"], *values, 100 * target, reached)


def steps_to(curve: Sequence[Sequence[float]], target: float) -> int:
    """Return the step of the first validation at or above a target, or one validation after the last.

    >>> steps_to([[0, 0.5], [10, 0.6], [20, 0.7]], 0.65), steps_to([[0, 0.5], [10, 0.6], [20, 0.7]], 0.9)
    (20, 30)
    """
    # The validation before the first step does not count.
    after = curve[1:]
    return next((step for step, score in after if score >= target), 2 * after[-1][0] - curve[-2][0])


def _compared(c: Comparison, unit: str, form: str) -> dict[str, str]:
    low, high = paired.interval(c.differences)
    p = paired.sign_flip(c.differences)
    return {
        "method": c.label,
        "task": c.title,
        "normals": f"{c.normals.mean():{form}}",
        "signs": f"{c.signs.mean():{form}}",
        f"signs - normals ({unit})": f"{c.differences.mean():+.1f}",
        f"{100 * (1 - LEVEL):g} % interval": "–" if np.isnan(low) else f"{low:+.1f} to {high:+.1f}",
        "p": f"{p:.2f}" if p >= 0.01 else f"{p:.4f}",
        "pairs": str(len(c.differences)),
    }


def _with_error(value: float, error: float, digits: int) -> str:
    return f"{value:,.{digits}f} ± {error:,.{digits}f}"


def _pipe(lines: list[dict[str, str]]) -> str:
    if not lines:
        return "No rows yet."
    return tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)
