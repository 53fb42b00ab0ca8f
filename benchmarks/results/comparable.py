"""Rows that have no mean together: of several prompts, metrics, ways of scoring, data or budgets one stands.

Where rows of one place differ in one of `RULES`, the most frequent kind stands (on a tie the newest), and of
prompts the newest version; the others are set apart, and the reason is told.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")


@dataclass(frozen=True)
class Rule:
    """What rows of one place have to have in common.

    Attributes:
        what: its name in a report.
        place: row -> the rows that would be compared or averaged.
        kind: row -> what they must agree in.
        why: they have no mean otherwise.
        newest: whether the highest kind stands, and not the most frequent one.
    """

    what: str
    place: Callable[[dict], Any]
    kind: Callable[[dict], Any]
    why: str
    newest: bool = False


def budget_of(config: dict) -> tuple[str, float] | None:
    """Name and amount of a run's budget; None of a zero-shot run, which has none.

    >>> budget_of({"method": "mezo", "steps": None, "seconds": 60.0})
    ('seconds', 60.0)
    """
    if config["method"] == "zero-shot":
        return None
    return next(((name, config[name]) for name in BUDGETS if config.get(name)), None)


def _column(row: dict) -> tuple:
    """A column of a table, where methods are compared: a model, a task, and the shots of each class."""
    return row["config"]["model"], row["config"]["task"], row["config"].get("shots")


def _cell(row: dict) -> tuple:
    config = row["config"]
    return *_column(row), row.get("label") or config["method"], config.get("dtype")


def _draw(row: dict) -> tuple:
    """What a source's rows are drawn by: equal draws of equal data are equal rows."""
    names = ("task", "data", "data_seed", "train_rows", "validation_rows", "test_rows", "shots")
    return tuple(row["config"].get(name) for name in names)


def _version(row: dict) -> int:
    return max(row.get("task_version") or 0, 0)


def _data(row: dict) -> str:
    config = row["config"]
    rows = config.get("test_rows")
    return f"{config.get('data')}" + (f", {rows} test rows" if rows else "")


def _budget(row: dict) -> str:
    found = budget_of(row["config"])
    return f"{found[1]:g} {found[0].replace('_', '-')}" if found else "none"


RULES = (
    Rule("prompt version", lambda row: row["config"]["task"], _version,
         "earlier versions of their task's prompt", newest=True),
    Rule("metric", _column, lambda row: row.get("metric") or "accuracy", "another metric"),
    Rule("scoring", _column, lambda row: row["config"].get("scoring"), "another way of scoring"),
    Rule("data", _column, _data, "other data"),
    Rule("data fingerprint", _draw, lambda row: row.get("data_fingerprint"), "other contents of their data"),
    Rule("head", _cell, lambda row: row["config"].get("head"), "another head"),
    Rule("budget", _cell, _budget, "another budget"),
)  # fmt: skip


def split(rows: Sequence[dict]) -> tuple[list[dict], list[dict]]:
    """Rows of runs that may be compared and averaged, and what is set apart.

    Returns:
        The rows that stand, in their order; and for the others, together where everything is equal: what
        they differ in, model, task, label, `kind` (theirs), `stands` (the one they would have to be of),
        `rows` (how many) and `why`.
    """
    kept, aside = list(rows), []
    for rule in RULES:
        places: dict[Any, dict[Any, list[dict]]] = defaultdict(lambda: defaultdict(list))
        for row in kept:
            places[rule.place(row)][rule.kind(row)].append(row)
        if all(len(kinds) == 1 for kinds in places.values()):
            continue
        stands = {place: _standing(kinds, rule) for place, kinds in places.items()}
        left = [row for row in kept if rule.kind(row) != stands[rule.place(row)]]
        kept = [row for row in kept if rule.kind(row) == stands[rule.place(row)]]
        aside += _told(left, rule, stands)
    return kept, aside


def _standing(kinds: dict[Any, list[dict]], rule: Rule) -> Any:
    if rule.newest:
        return max(kinds)
    ended = {kind: max(str(row.get("ended") or "") for row in rows) for kind, rows in kinds.items()}
    return max(kinds, key=lambda kind: (len(kinds[kind]), ended[kind]))


def _told(left: Sequence[dict], rule: Rule, stands: dict) -> list[dict]:
    counts: dict[tuple, int] = defaultdict(int)
    for row in left:
        config = row["config"]
        label = row.get("label") or config["method"]
        place = (config["model"], config["task"], label, rule.kind(row), stands[rule.place(row)])
        counts[place] += 1
    names = ("model", "task", "label", "kind", "stands")
    return [
        {"what": rule.what, **dict(zip(names, place, strict=True)), "rows": count, "why": rule.why}
        for place, count in counts.items()
    ]


def lines(aside: Sequence[dict]) -> list[str]:
    """One line for each reason, for a terminal."""
    counts: dict[str, int] = defaultdict(int)
    for entry in aside:
        counts[entry["why"]] += entry["rows"]
    return [f"{count} more there are of {why}: left out" for why, count in counts.items()]
