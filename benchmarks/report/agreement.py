"""Agreement of a rerun with the committed rows, run by run.

A run is identical if its test score is equal. Otherwise it is within the spread of the n committed seeds of
its setting if its score is inside their 95 % prediction interval for one more run,

    mean ± t(0.975, n - 1) s sqrt(1 + 1/n),   s the sample standard deviation.

(Hahn and Meeker, Statistical Intervals, 1991). One seed gives no spread. Runs of different versions of a task
are counted and not compared.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t as student
from tabulate import tabulate

from benchmarks.config.identity import identifying
from benchmarks.errors import UserError
from benchmarks.report.provenance import provenance_fields
from benchmarks.report.suite_rows import collect
from benchmarks.results.comparable import VERSIONS, names_of, versions_of
from benchmarks.results.row import read
from benchmarks.results.sources import ROOT

IDENTICAL, WITHIN, DIFFERENT = "identical", "within the spread over seeds", "different"
KINDS = (IDENTICAL, WITHIN, DIFFERENT)
CONFIDENCE = 0.95
# Fields of a row, and of a point of its curve, that are equal if two runs agree to the last bit.
EVALUATED = ("test", "test_long", "test_short", "validation", "best_step", "realized_fraction")
EVALUATED += ("majority", "majority_long", "majority_short", "majority_validation", "long_above_tokens")
POINT = ("step", "score", "loss", "auc", "n", "train_loss", "examples", "forward_equivalents")
# Fields of a config that differ between the seeds of one setting.
SEEDS = ("seed", "data_seed")


@dataclass(frozen=True)
class Comparison:
    """One run next to its committed row.

    Attributes:
        row: the row of the rerun.
        reference: the committed row of the same run.
        kind: one of `KINDS`.
        interval: the prediction interval of the score (low, high), or None with fewer than two committed
            seeds.
        to_the_bit: whether all evaluations, and not only the test score, are equal.
    """

    row: Mapping
    reference: Mapping
    kind: str
    interval: tuple[float, float] | None
    to_the_bit: bool


def report(suite: str, root: Path = ROOT, rows_from: Sequence[Path] | None = None) -> str:
    """Return a comparison of this machine's runs of a suite with the committed runs.

    Args:
        suite: name of a suite.
        root: the folder that contains `results/`.
        rows_from: folders with the rows of shards, instead of this machine's.

    Raises:
        UserError: there are no runs, or no committed rows of the suite.
    """
    reference = root / "results" / "reference" / f"{suite}.jsonl"
    found = collect(suite, root, rows_from)
    if not reference.exists():
        raise UserError(f"suite {suite!r} has no committed rows to compare with")
    if found.source.startswith("results/reference"):
        raise UserError(f"no runs of {suite!r} on this machine: run `python -m benchmarks sweep {suite}`")
    return text(suite, found.rows, read(reference))


def compare(rows: Iterable[Mapping], reference: Sequence[Mapping]) -> list[Comparison]:
    """Compare every run that both sides have and that has a score on both, in the order of `rows`.

    The rows of a run are not compared if they have different versions of its task.

    Args:
        rows: rows of the rerun.
        reference: committed rows of the same suite.
    """
    committed = {row["id"]: row for row in reference}
    scores: dict[tuple, list[float]] = {}
    for row in reference:
        if row.get("score") is not None:
            scores.setdefault((_setting(row), versions_of(row)), []).append(row["score"])
    found = []
    for row in rows:
        other = committed.get(row["id"])
        if other is None or None in (row.get("score"), other.get("score")):
            continue
        if versions_of(row) != versions_of(other):
            continue
        interval = prediction_interval(scores[_setting(other), versions_of(other)])
        same = row["score"] == other["score"]
        within = interval is not None and interval[0] <= row["score"] <= interval[1]
        kind = IDENTICAL if same else WITHIN if within else DIFFERENT
        to_the_bit = same and _evaluations(row) == _evaluations(other)
        found.append(Comparison(row, other, kind, interval, to_the_bit))
    return found


def prediction_interval(scores: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % prediction interval for one more score, or None for fewer than two scores.

    >>> low, high = prediction_interval([0.5, 0.6, 0.7])
    >>> round(low, 3), round(high, 3)
    (0.103, 1.097)
    """
    n = len(scores)
    if n < 2:
        return None
    half = float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(scores) * math.sqrt(1 + 1 / n)
    return mean(scores) - half, mean(scores) + half


def text(suite: str, rows: Sequence[Mapping], reference: Sequence[Mapping]) -> str:
    """Return the comparison as text: counts per method, the runs that differ, and both environments."""
    found, outdated = compare(rows, reference), _outdated(rows, reference)
    names = dict(zip((c.row["id"] for c in found), names_of([c.row for c in found]), strict=True))
    parts = [f"{suite}: {len(found)} runs compared with the committed rows", _counts(found, names)]
    bits = sum(c.to_the_bit for c in found)
    parts.append(f"{bits} of {len(found)} runs agree in every evaluation to the last bit.")
    if different := [c for c in found if c.kind == DIFFERENT]:
        parts += ["Different runs (scores × 100):", _differences(different, names)]
    for versions, count in outdated.items():
        parts.append(f"Not compared: {count} run{'s' if count > 1 else ''} {versions}.")
    if missing := len(reference) - len(found) - outdated.total():
        parts.append(f"{missing} committed runs have no finished counterpart here, or no score.")
    parts.append(_environments([c.row for c in found], [c.reference for c in found]))
    return "\n\n".join(parts)


def _outdated(rows: Iterable[Mapping], reference: Sequence[Mapping]) -> Counter[str]:
    """Count the runs whose rows have different versions of their task, by task and versions as text."""
    committed = {row["id"]: row for row in reference}
    counts: Counter[str] = Counter()
    for row in rows:
        other = committed.get(row["id"], row)
        differing = [
            f"{rule.what} {rule.kind(row)} here and {rule.kind(other)} in the committed rows"
            for rule in VERSIONS
            if rule.kind(row) != rule.kind(other)
        ]
        if differing:
            counts[f"of {row['config']['task']} with {', '.join(differing)}"] += 1
    return counts


def _setting(row: Mapping) -> str:
    values = identifying(row["config"])
    return repr(sorted((k, repr(v)) for k, v in values.items() if k not in SEEDS))


def _evaluations(row: Mapping) -> dict:
    points = [{name: point.get(name) for name in POINT} for point in row["curve"]]
    return {"curve": points} | {name: row.get(name) for name in EVALUATED}


def _counts(found: Sequence[Comparison], names: Mapping[str, str]) -> str:
    counts = Counter((names[c.row["id"]], c.kind) for c in found)
    labels = dict.fromkeys(names.values())
    lines = [{"method": label} | {kind: counts[label, kind] for kind in KINDS} for label in labels]
    lines.append({"method": "all"} | {kind: sum(c.kind == kind for c in found) for kind in KINDS})
    return tabulate(lines, headers="keys")


def _differences(different: Sequence[Comparison], names: Mapping[str, str]) -> str:
    lines = [
        {
            "model": c.row["config"]["model"],
            "task": c.row.get("task_title") or c.row["config"]["task"],
            "method": names[c.row["id"]],
            "seed": c.row["config"]["seed"],
            "here": f"{100 * c.row['score']:.1f}",
            "committed": f"{100 * c.reference['score']:.1f}",
            "expected": "one seed, so no spread"
            if c.interval is None
            else f"{100 * c.interval[0]:.1f} to {100 * c.interval[1]:.1f}",
        }
        for c in different
    ]
    return tabulate(lines, headers="keys", disable_numparse=True)


def _environments(rows: Sequence[dict], reference: Sequence[dict]) -> str:
    here, there = provenance_fields(rows), provenance_fields(reference)
    names = ("versions", "hardware", "threads per run", "simultaneous runs", "commit", "dates")
    lines = [(name, here.get(name, "–"), there.get(name, "–")) for name in names]
    parts = [f"{name}\n  here:      {a}\n  committed: {b}" for name, a, b in lines if a != b]
    if equal := [f"  {name}: {a}" for name, a, b in lines if a == b]:
        parts += ["the same on both sides", *equal]
    return "\n".join(parts)
