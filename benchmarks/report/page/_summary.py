"""Sentences on what the rows show, made from them alone: also where Addax loses or no test can tell."""

from collections.abc import Iterator, Sequence

import pandas as pd

from benchmarks.report.analysis import Analysis
from benchmarks.report.page._costs import SUBJECT, costs, ratio, trained
from benchmarks.results.frame import ordered
from benchmarks.results.stats import ALL, FEWEST, ZERO_SHOT

MANY = 8  # methods that one sentence can list with numbers


def of_model(found: Analysis, model: str) -> list[str]:
    """What is true of one model, a sentence a point."""
    means = found.means[found.means["model"] == model]
    tests = found.tests[found.tests["model"] == model]
    return [
        *_order(means),
        *_winners(found, means, tests, model),
        *_against_each(tests),
        *_costs(means),
        *_below_zero_shot(means),
    ]


def in_short(found: Analysis, model: str) -> str:
    """One sentence on a model: the best mean, what the test says of it, and what Addax costs."""
    means = found.means[found.means["model"] == model]
    tasks, scores = ordered(means, "task"), _scores(means)
    over = means["title"].iloc[0] if len(tasks) == 1 else f"{len(tasks)} tasks"
    if not len(scores):
        return f"no trained method has a score on all of {over}."
    have = "has" if len(_top(scores)) == 1 else "have"
    what = "score on" if len(tasks) == 1 else "mean score over"
    said = f"{_listed(_top(scores))} {have} the highest {what} {over}, {scores.iloc[0]:.1f} %"
    if SUBJECT in scores and SUBJECT not in _top(scores):
        said += f" ({SUBJECT} {scores[SUBJECT]:.1f} %)"
    winner = found.winners.get((model, ALL if len(tasks) > 1 else tasks[0]))
    said += f"; the test supports {winner or 'no winner'}"
    ranges = []
    for name in ("memory", "time"):
        if values := [value for cost in costs(means) if (value := getattr(cost, name)) > 0]:
            low, high = ratio(min(values)), ratio(max(values))
            low = "" if low == high else f"{low.removesuffix(' times')} to "
            ranges.append(f"{low}{high} the {name}")
    if ranges:
        said += f"; {SUBJECT} takes {' and '.join(ranges)} of the others"
    return f"{said}."


def _scores(means: pd.DataFrame) -> pd.Series:
    """Mean scores in percent, best first, of the trained methods that finished all tasks."""
    done = means[(means["outcome"] == "done") & means["score"].notna()]
    complete = done.groupby("label")["task"].nunique() == means["task"].nunique()
    scores = 100 * done.groupby("label")["score"].mean()[complete]
    return scores.drop(ZERO_SHOT, errors="ignore").sort_values(ascending=False, kind="stable")


def _top(scores: pd.Series) -> list[str]:
    """The best, all of them where several print alike."""
    return [label for label, value in scores.items() if f"{value:.1f}" == f"{scores.iloc[0]:.1f}"]


def _listed(texts: Sequence[str]) -> str:
    """
    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    texts = list(texts)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _counted(count: int, what: str) -> str:
    """
    >>> _counted(1, "run"), _counted(2, "run")
    ('1 run', '2 runs')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _order(means: pd.DataFrame) -> Iterator[str]:
    """Methods by their mean over all tasks, where they finished all."""
    tasks = ordered(means, "task")
    over = means["title"].iloc[0] if len(tasks) == 1 else f"{len(tasks)} tasks"
    scores = _scores(means)
    counts = means[means["outcome"] == "done"].groupby("label")["task"].nunique()
    what = "score on" if len(tasks) == 1 else "mean score over"
    if len(scores):
        top = _top(scores)
        rest = [f"{label} {value:.1f}" for label, value in scores.items() if label not in top]
        then = f"; then {', '.join(rest)}" if rest else ""
        yield f"Highest {what} {over}: {_listed(top)}, {scores.iloc[0]:.1f} %{then}."
    else:
        yield f"No trained method has a {what} {over}: none finished all."
    lacking = [label for label in ordered(trained(means), "label") if label not in scores]
    if lacking and len(tasks) > 1:
        told = [f"{label} ({counts.get(label, 0)} of {len(tasks)} tasks)" for label in lacking]
        yield f"Without a mean: {_listed(told)}."


def _winners(found: Analysis, means: pd.DataFrame, tests: pd.DataFrame, model: str) -> Iterator[str]:
    if not len(tests):
        yield "No two trained methods are compared: there is no test."
        return
    tasks = ordered(trained(means), "task")
    titles = means.drop_duplicates("task").set_index("task")["title"]
    if overall := found.winners.get((model, ALL)):
        yield f"Over all tasks, the paired test supports a winner: {overall} is better than all others."
    elif len(tasks) > 1:
        yield "Over all tasks, the paired test supports no winner: none is separated from all others at 5 %."
    won: dict[str, list[str]] = {}
    for task in tasks:
        if label := found.winners.get((model, task)):
            won.setdefault(label, []).append(titles[task])
    most = tests[tests["task"] != ALL]["n"].max()
    place = f"On {titles[tasks[0]]}" if len(tasks) == 1 else "On single tasks"
    if won:
        told = [f"{label} on {_listed(names)}" for label, names in won.items()]
        yield f"{place}, the test supports as better than every other method: {'; '.join(told)}."
    elif most < FEWEST:
        runs = _counted(most, "pair")
        yield (
            f"{place}, no test can support a winner: methods have {runs} of runs with the same seeds, and "
            f"fewer than {FEWEST} cannot reach 5 %. What differs between single scores may be chance."
        )
    else:
        yield f"{place}, the test supports no winner."


def _against_each(tests: pd.DataFrame) -> Iterator[str]:
    """Addax against each other method, over all tasks or the only one."""
    overall = tests[tests["task"] == ALL] if (tests["task"] == ALL).any() else tests
    overall = overall[(overall["a"] == SUBJECT) | (overall["b"] == SUBJECT)]
    sides: dict[str, list[str]] = {"better than": [], "worse than": [], "not separated from": []}
    for line in overall.itertuples():
        other = line.b if line.a == SUBJECT else line.a
        ahead = 100 * (line.difference if line.a == SUBJECT else -line.difference)
        kind = ("better than" if ahead > 0 else "worse than") if line.separated else "not separated from"
        p = "p < 0.001" if line.p_holm < 0.0005 else f"p = {line.p_holm:.3f}"
        numbers = "" if len(overall) > MANY else f" ({ahead:+.1f} points, {p}, n = {line.n})"
        sides[kind].append(f"{other}{numbers}")
    if any(sides.values()):
        told = [f"{kind} {_listed(others)}" for kind, others in sides.items() if others]
        place = "over all tasks" if (tests["task"] == ALL).any() else f"on {tests['title'].iloc[0]}"
        yield f"{SUBJECT}, {place}: {'; '.join(told)}."


def _costs(means: pd.DataFrame) -> Iterator[str]:
    found = costs(means)
    for name, title, what in (
        ("memory", "Peak memory", "mean over shared tasks"),
        ("time", "Training time to the chosen checkpoint", "sum over shared tasks"),
    ):
        known = sorted((getattr(cost, name), cost.label) for cost in found if getattr(cost, name) > 0)
        told = [f"{ratio(value)} that of {label}" for value, label in known]
        if told:
            listed = _listed(told) if len(told) <= MANY else f"from {told[0]} to {told[-1]}"
            yield f"{title} of {SUBJECT} ({what}): {listed}."


def _below_zero_shot(means: pd.DataFrame) -> Iterator[str]:
    zero = means[means["label"] == ZERO_SHOT].set_index("task")["score"]
    below: dict[str, list[str]] = {}
    for line in trained(means).itertuples():
        if line.outcome == "done" and line.score < zero.get(line.task, float("nan")):
            below.setdefault(line.label, []).append(line.title)
    if below:
        told = [f"{label} ({', '.join(titles)})" for label, titles in below.items()]
        yield f"Worse than without training: {_listed(told)}."


def failures(rows: Sequence[dict]) -> list[dict]:
    """Runs that are not done: what, status and reason."""
    return [
        {
            "label": row.get("label") or row["config"]["method"],
            "task": row.get("task_title") or row["config"]["task"],
            "model": row["config"]["model"],
            "seed": row["config"].get("seed"),
            "status": row.get("status") or "failed",
            "reason": row.get("reason") or "no reason was written",
            "row": row,
        }
        for row in rows
        if row.get("status") != "done"
    ]


def incomplete(found: Analysis, missing: Sequence[dict] | None, gone: int) -> list[str]:
    """What has failed, is missing or is left out, a sentence a point; says so where there is nothing."""
    said = []
    bad = [row.get("status") or "failed" for row in found.rows if row.get("status") != "done"]
    if bad:
        counts = ", ".join(f"{bad.count(status)} {status}" for status in dict.fromkeys(bad))
        said.append(f"{len(bad)} of {_counted(len(found.rows), 'run')} without a score: {counts}.")
    if missing:
        said.append(f"{_counted(len(missing), 'run')} of the suite without a row yet.")
    if missing is None:
        said.append("These rows are of no suite here, so what is missing cannot be told.")
    for why in dict.fromkeys(entry["why"] for entry in found.aside):
        count = sum(entry["rows"] for entry in found.aside if entry["why"] == why)
        said.append(f"{_counted(count, 'row')} set apart: of {why}.")
    if gone:
        said.append(f"{_counted(gone, 'row')} left out: of settings that the suite no longer has.")
    return said or ["Nothing: every run of the suite has a row and is done, and none is set apart."]
