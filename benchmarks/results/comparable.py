"""Partition of rows into those that can be compared and averaged, and those that are excluded.

Rows with different versions of a task, metrics, scoring procedures, data, model commits, kinds of devices,
heads, or budgets cannot be averaged. If
the rows of a group differ in one of `RULES`, the most frequent kind is the reference (the newest kind on a
tie), and all other rows are excluded with a reason. For versions, the reference is the newest one.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.config.names import BUDGETS, ZERO_SHOT, is_trained
from benchmarks.results import directions
from benchmarks.results.directions import direction_of


@dataclass(frozen=True)
class Rule:
    """A property that must be equal for all rows of a group.

    Attributes:
        what: name of the property in reports.
        group: maps a row to its group, the rows that would be compared or averaged with it.
        kind: maps a row to the value that must be equal within its group.
        why: how an excluded row differs; completes the phrase "Excluded 2 rows ...". It may contain {task},
            {kind}, and {reference}.
        newest: whether the highest kind is the reference instead of the most frequent kind.
    """

    what: str
    group: Callable[[Mapping], Any]
    kind: Callable[[Mapping], Any]
    why: str
    newest: bool = False


def budget_of(config: Mapping) -> tuple[str, float] | None:
    """Return the name and amount of a run's budget, or None for zero-shot, which has no budget.

    >>> budget_of({"method": "mezo", "steps": None, "seconds": 60.0})
    ('seconds', 60.0)
    """
    if config["method"] == ZERO_SHOT:
        return None
    return next(((name, config[name]) for name in BUDGETS if config.get(name)), None)


def format_budget(config: Mapping) -> str:
    """Return a run's budget as text.

    >>> format_budget({"method": "mezo", "forward_equivalents": 64})
    '64 forward-equivalents'
    """
    found = budget_of(config)
    return f"{found[1]:g} {found[0].replace('_', '-')}" if found else "none"


def label_of(row: Mapping) -> str:
    """Return a run's name in tables."""
    return row.get("label") or row["config"]["method"]


def names_of(rows: Sequence[Mapping]) -> list[str]:
    """Return the names of runs in one table: their labels, which also tell directions apart."""
    keys = [(label_of(row), direction_of(row["config"])) for row in rows]
    names = directions.names(keys)
    return [names[key] for key in keys]


def _column(row: Mapping) -> tuple:
    """Return the table column in which a row is compared: its model, task, and shots per class."""
    return row["config"]["model"], row["config"]["task"], row["config"].get("shots")


def _cell(row: Mapping) -> tuple:
    config = row["config"]
    return *_column(row), label_of(row), config.get("dtype"), direction_of(config)


def _draw(row: Mapping) -> tuple:
    """Return the settings of the data draw; runs with equal draws must have equal data fingerprints."""
    names = ("task", "data", "data_seed", "train_rows", "validation_rows", "test_rows", "shots")
    return tuple(row["config"].get(name) for name in names)


def _task(row: Mapping) -> str | None:
    """Return the task of the row of a run or a study; None if the row has no task."""
    return row.get("config", row).get("task")


def _is_generated(row: Mapping) -> bool:
    return row.get("config", row).get("data") == "builtin"


def _generator_version(row: Mapping) -> int:
    return (row.get("generator_version") or 1) if _is_generated(row) else 1


def _measured(row: Mapping) -> tuple:
    """Return the table column of a row; untrained models, whose memory does not count, have their own."""
    return *_column(row), is_trained(label_of(row))


def _device(row: Mapping) -> str:
    """Return the kind of device; the cards of a machine are of one kind."""
    return (row["config"].get("device") or "cpu").partition(":")[0]


def _data(row: Mapping) -> str:
    config = row["config"]
    rows = config.get("test_rows")
    return f"{config.get('data')}" + (f", {rows} test rows" if rows else "")


# The rules for rows of runs and studies alike. A row without a version is of version 1.
VERSIONS = (
    Rule("prompt version", _task, lambda row: row.get("task_version") or 1,
         "of {task} with prompt version {kind} (the newest is version {reference})", newest=True),
    Rule("generator version", lambda row: (_task(row), _is_generated(row)), _generator_version,
         "of {task} with generator version {kind} (the newest is version {reference})", newest=True),
)  # fmt: skip
RULES = (
    *VERSIONS,
    Rule("metric", _column, lambda row: row.get("metric") or "accuracy", "with another metric"),
    Rule("scoring", _column, lambda row: row["config"].get("scoring"), "scored with another procedure"),
    Rule("data", _column, _data, "with other data"),
    Rule("data fingerprint", _draw, lambda row: row.get("data_fingerprint"), "whose data differs in content"),
    Rule("model commit", _column, lambda row: row.get("model_commit"), "with another commit of the model"),
    Rule("device", _measured, _device, "on another kind of device"),
    Rule("head", _cell, lambda row: row["config"].get("head"), "with another head"),
    Rule("budget", _cell, lambda row: format_budget(row["config"]), "with another budget"),
)  # fmt: skip


def partition_comparable(rows: Sequence[dict]) -> tuple[list[dict], list[dict]]:
    """Split rows into comparable rows and a description of the excluded rows.

    Args:
        rows: rows of runs, or rows of a study, to which only `VERSIONS` apply.

    Returns:
        The comparable rows, in their order, and a list of entries that describe the excluded rows. Rows that
        are alike share an entry: `what` (the property in which they differ), model, task, and label (None for
        a study), `kind` (their value), `reference` (the value of the comparable rows), `rows` (their number),
        and `why`.
    """
    kept, excluded = list(rows), []
    for rule in RULES if all("config" in row for row in rows) else VERSIONS:
        groups: dict[Any, dict[Any, list[dict]]] = defaultdict(lambda: defaultdict(list))
        for row in kept:
            groups[rule.group(row)][rule.kind(row)].append(row)
        if all(len(kinds) == 1 for kinds in groups.values()):
            continue
        reference = {group: reference_kind(kinds, rule) for group, kinds in groups.items()}
        others = [row for row in kept if rule.kind(row) != reference[rule.group(row)]]
        kept = [row for row in kept if rule.kind(row) == reference[rule.group(row)]]
        excluded += _described(others, rule, reference)
    return kept, excluded


def reference_kind(kinds: Mapping[Any, Sequence[dict]], rule: Rule) -> Any:
    """Return the reference kind: the highest for `newest`, else the most frequent (on a tie, the newest)."""
    if rule.newest:
        return max(kinds)
    ended = {kind: max(str(row.get("ended") or "") for row in rows) for kind, rows in kinds.items()}
    return max(kinds, key=lambda kind: (len(kinds[kind]), ended[kind]))


def _described(rows: Sequence[dict], rule: Rule, reference: Mapping) -> list[dict]:
    counts: dict[tuple, int] = defaultdict(int)
    for row in rows:
        run = (row["config"]["model"], label_of(row)) if "config" in row else (None, None)
        counts[*run, _task(row), rule.kind(row), reference[rule.group(row)]] += 1
    names = ("model", "label", "task", "kind", "reference")
    found = []
    for values, count in counts.items():
        entry = dict(zip(names, values, strict=True))
        found.append({"what": rule.what, **entry, "rows": count, "why": rule.why.format_map(entry)})
    return found


def versions_of(row: Mapping) -> tuple:
    """Return the versions of a row's task, one for each of `VERSIONS`."""
    return tuple(rule.kind(row) for rule in VERSIONS)


def counted(excluded: Sequence[Mapping]) -> list[str]:
    """Return one phrase per reason.

    >>> counted([{"why": "with other data", "rows": 2}])
    ['2 rows with other data']
    """
    counts: dict[str, int] = defaultdict(int)
    for entry in excluded:
        counts[entry["why"]] += entry["rows"]
    return [f"{count} row{'s' if count > 1 else ''} {why}" for why, count in counts.items()]


def lines(excluded: Sequence[Mapping]) -> list[str]:
    """Return one sentence per reason.

    >>> lines([{"why": "with other data", "rows": 2}])
    ['Excluded 2 rows with other data.']
    """
    return [f"Excluded {phrase}." for phrase in counted(excluded)]
