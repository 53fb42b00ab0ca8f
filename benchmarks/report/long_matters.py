"""Tables of suite `long-matters`: a line per method and alpha, on all, long, and short test rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from benchmarks.config.names import is_trained
from benchmarks.report.fixed_table import fixed_table
from benchmarks.report.tables import NONE, pipe
from benchmarks.results import fixed
from benchmarks.results.comparable import label_of
from benchmarks.results.frame import Results, setting_of
from benchmarks.suites.long_matters import COMPARISONS
from benchmarks.suites.long_matters_grid import METHODS

# The end of the names of tasks whose long examples matter.
SECOND = "-long"
MEASURES = {"all rows": "score", "long rows": "score_long", "short rows": "score_short"}


def named(rows: Sequence[Mapping]) -> Results:
    """Return the results with alpha as part of Addax's labels, as in `METHODS`."""
    return Results.of([{**row, "label": _name(row)} for row in rows])


def _name(row: Mapping) -> str:
    label, alpha = label_of(row), row["config"]["settings"].get("alpha")
    return f"{label}, alpha {alpha:g}" if alpha else label


def scores(rows: Sequence[Mapping]) -> str:
    """Return Markdown with the mean scores over three tasks, for both versions of the tasks."""
    runs = named(rows).selected
    lines = []
    for label in _labels(runs):
        line = {"method": label}
        for version, part in _versions(runs[runs["label"] == label]):
            line |= {f"{name}, {version}": _mean(part[column]) for name, column in MEASURES.items()}
        lines.append(line)
    return pipe(pd.DataFrame(lines))


def tasks(rows: Sequence[Mapping]) -> str:
    """Return Markdown with the mean scores on long test rows: a column per task."""
    runs = named(rows).selected
    columns = runs.drop_duplicates("task")[["task", "title"]].itertuples(index=False)
    of_task = {title: runs[runs["task"] == task] for task, title in columns}
    return pipe(
        pd.DataFrame(
            [
                {"method": label}
                | {
                    title: _mean(part.loc[part["label"] == label, "score_long"])
                    for title, part in of_task.items()
                }
                for label in _labels(runs)
            ]
        )
    )


def compared(rows: Sequence[Mapping], version: str, measure: str) -> str:
    """Return Markdown with the comparisons of the suite on one version of the tasks and one kind of rows."""
    runs = dict(_versions(named(rows).selected))[version]
    found = fixed.against(runs, COMPARISONS.reference, COMPARISONS.others, MEASURES[measure])
    return fixed_table(found, COMPARISONS.reference)


def trials(rows: Sequence[Mapping]) -> str:
    """Return Markdown with the mean validation score over the six tasks of each learning rate tried."""
    runs = named(rows).runs
    rates = runs["setting"].map(lambda text: setting_of(text)["lr"])
    # A run that diverged has no validation score.
    scores = runs["validation_score"].where(runs["outcome"] == "done", 0.0)
    means = scores.groupby([runs["label"], rates]).mean()
    tried = sorted(rates.unique())
    lines = [
        {"method": label} | {f"{lr:g}": _percent(means.get((label, lr))) for lr in tried} for label in METHODS
    ]
    return pipe(pd.DataFrame(lines))


def _percent(score: float | None) -> str:
    return NONE if score is None else f"{100 * score:.1f}"


def _labels(runs: pd.DataFrame) -> list[str]:
    known = [label for label in runs["label"].unique() if not is_trained(label)]
    return [*known, *METHODS]


def _versions(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    second = runs["task"].str.endswith(SECOND)
    yield "first", runs[~second]
    yield "second", runs[second]


def _mean(scores: pd.Series) -> str:
    return f"{100 * scores.mean():.1f}"


# Kind of table -> rows -> Markdown.
TABLES: dict[str, Callable[[Sequence[Mapping]], str]] = {
    "scores": scores,
    "tasks": tasks,
    **{
        f"{version}-{measure.split()[0]}": lambda rows, v=version, m=measure: compared(rows, v, m)
        for version in ("first", "second")
        for measure in MEASURES
    },
}
