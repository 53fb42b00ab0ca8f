"""The row fields with the scores of the most frequent training answer, which need no model."""

from benchmarks import tasks
from benchmarks.config.spec import RunSpec
from benchmarks.data.example import Example
from benchmarks.data.splits import Splits
from benchmarks.evaluation.evaluate import long_and_short
from benchmarks.evaluation.majority import majority
from benchmarks.training.setup import Setup


def metric_fields(spec: RunSpec, splits: Splits) -> dict[str, str | float | None]:
    """Return the name of a run's metric, and the majority scores on all test and validation rows."""
    metric = spec.metric or tasks.load(spec.task).metric
    return {
        "metric": metric,
        "majority": _score(splits, splits.test, metric),
        "majority_validation": _score(splits, splits.validation, metric),
    }


def majority_by_length(setup: Setup | None, splits: Splits) -> dict[str, float | None]:
    """Return the majority scores on long and on short test rows; None without a setup or such rows."""
    parts = long_and_short(setup.rows["test"], setup.long_above) if setup else ((), ())
    return {
        name: _score(splits, [splits.test[i] for i in part], setup.task.metric) if part else None
        for name, part in zip(("majority_long", "majority_short"), parts, strict=True)
    }


def _score(splits: Splits, rows: list[Example], metric: str) -> float | None:
    return majority(splits.train, rows, metric) if rows else None
