"""The trials of a comparison, and the learning rates that they select. Both are functions of the rows so far.

The trials of a method are at three rates around its center, then at two rates beside the best of these (see
`benchmarks.compare.rates`). A rate is better if its validation score is higher, or its validation loss lower
at equal scores. Test rows play no part. A trial that failed or ran out of memory is not selected.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import suites
from benchmarks.compare import rates
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.results.frame import Results
from benchmarks.results.select import keep_best

# Trials have a seed of their own, so that the runs of the comparison draw other rows and other noise.
SEED = 100
# The test scores of trials are not used.
TEST_ROWS = 20


def specs(
    name: str,
    common: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    centers: Mapping[str, float],
) -> list[RunSpec]:
    """Return the trials that the rows so far ask for.

    Args:
        name: name of the suite of trials.
        common: fields of every run of the comparison.
        methods: the fields and settings of each method's runs, by method.
        centers: the center of each method's trials, by method.
    """
    rows, found = _rows(name), first(common, methods, centers)
    for method in methods:
        group = [spec for spec in found if spec.method == method]
        if all(spec.id in rows for spec in group):
            best = _best(rows[spec.id] for spec in group)
            found += [group[0].replace(lr=rate) for rate in rates.last_trials(best)] if best else []
    return found


def first(
    common: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]], centers: Mapping[str, float]
) -> list[RunSpec]:
    """Return the first trials of every method; see `specs`."""
    where = dict(common) | {"seed": SEED, "data_seed": SEED, "test_rows": TEST_ROWS}
    return [
        from_dict(where | dict(values) | {"method": method, "lr": rate})
        for method, values in methods.items()
        for rate in rates.first_trials(centers[method])
    ]


def missing(name: str, *, current: bool = False) -> list[RunSpec]:
    """Return the trials that have no row yet.

    Args:
        name: name of the suite of trials.
        current: whether a row of older code or of an older description of the task does not count.
    """
    rows = _rows(name)

    def has_row(spec: RunSpec) -> bool:
        row = rows.get(spec.id)
        return row is not None and not (current and row["source_fingerprint"] != source_fingerprint(spec))

    return [spec for spec in suites.load(name) if not has_row(spec)]


def chosen(name: str) -> dict[str, float]:
    """Return the learning rate of each method that its trials select, by method.

    A method is left out if none of its trials finished.

    Args:
        name: name of the suite of trials.

    Raises:
        UserError: a trial has no row yet, or no trial of any method finished.
    """
    trials = suites.load(name)
    if left := missing(name):
        raise UserError(
            f"{len(left)} of {len(trials)} trials have no row yet: run `python -m benchmarks sweep {name}`"
        )
    found = {method: best for method, (best, _) in _selected(name).items() if best is not None}
    if not found:
        raise UserError(f"no trial of any method finished: see `python -m benchmarks report {name}`")
    return found


def notes(name: str) -> list[str]:
    """Return a line for each method that was left out, or whose selected rate is the last that was tried."""
    found = []
    for method, (best, tried) in _selected(name).items():
        if best is None:
            found.append(
                f"{method}: left out, because none of its trials finished (see the report of {name})"
            )
        elif best in (min(tried), max(tried)):
            found.append(
                f"{method}: the selected rate, {best:g}, is at the edge of those tried ({min(tried):g} to "
                f"{max(tried):g}); a better one may lie beyond it (--center {method}={best:g})"
            )
    return found


def _selected(name: str) -> dict[str, tuple[float | None, list[float]]]:
    """Return the best rate and the rates tried, by method."""
    trials, rows, found = suites.load(name), _rows(name), {}
    for method in dict.fromkeys(spec.method for spec in trials):
        own = [spec for spec in trials if spec.method == method]
        tried = [spec.settings["lr"] for spec in own]
        found[method] = _best(rows[spec.id] for spec in own), tried
    return found


def _rows(name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in store.read_suite(name)}


def _best(rows: Iterable[dict[str, Any]]) -> float | None:
    """Return the best rate among the rows of a method; None if no trial finished."""
    runs = Results.of([row for row in rows if row["status"] == "done"]).runs
    if not len(runs):
        return None
    return float(keep_best(runs, ["method"])["lr"].iloc[0])
