"""Tuning on validation data: the trials of each method, the grid, the selected setting, and the cost."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.config.identity import identifying
from benchmarks.config.names import is_trained
from benchmarks.errors import UserError
from benchmarks.results.comparable import VERSIONS, counted, label_of
from benchmarks.results.frame import Results, setting_of
from benchmarks.results.order import format_value, value_order
from benchmarks.results.select import CELL, candidates

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

Cell = tuple[str, str, str]
COLUMNS = ["model", "task", "title", "label", "trials", "runs", "varied", "chosen", "at_edge", "seconds",
           "note"]  # fmt: skip


def trials_table(results: Results, reported: Results | None = None) -> pd.DataFrame:
    """Return one line per model, task, and trained method.

    Trials are the settings that `benchmarks.results.select.select_best_setting` selects from. A setting that
    was run with several seeds is one trial.

    Args:
        results: the results of the trials.
        reported: the results of the runs whose setting counts as the chosen one, because a suite may select
            over several tasks at once; None means the best trials.

    Returns:
        model, task, title, label, trials (number of settings), runs (number of runs over all seeds), varied
        ("lr: 0.001, 0.01"; empty for one trial), chosen ("lr 0.01"; empty without a reported run), at_edge
        (names of numeric settings whose selected value is the smallest or the largest in the grid, so a
        better value may lie beyond it),
        seconds (training time of all runs of all trials), and note (a warning if the methods of a task have
        unequal numbers of trials).
    """
    trained = results.runs[results.runs["label"].map(is_trained).astype(bool)]
    picked = (reported or results).selected.groupby(CELL, sort=False)["setting"].first()
    lines = [_line(cell, picked.get(key)) for key, cell in candidates(trained).groupby(CELL, sort=False)]
    found = pd.DataFrame(lines, columns=COLUMNS)
    counts = found.groupby(["model", "task"])["trials"].agg(["min", "max"])
    unequal = {
        key: f"unequal trials: {low} to {high}" for key, low, high in counts.itertuples() if low < high
    }
    found["note"] = [unequal.get(key, "") for key in zip(found["model"], found["task"], strict=True)]
    return found


def _line(cell: pd.DataFrame, setting: str | None) -> dict[str, Any]:
    values = _varied(cell)
    chosen = None if setting is None else setting_of(setting)
    return {
        **{name: cell[name].iloc[0] for name in ("model", "task", "title", "label")},
        "trials": cell["setting"].nunique(),
        "runs": len(cell),
        "varied": "; ".join(f"{name}: {', '.join(map(format_value, v))}" for name, v in values.items()),
        "chosen": ", ".join(f"{name} {format_value(chosen.get(name))}" for name in values if chosen),
        "at_edge": ", ".join(
            name for name, tried in values.items() if chosen and _at_edge(chosen.get(name), tried)
        ),
        "seconds": cell["train_seconds"].sum(),
    }


def _varied(cell: pd.DataFrame) -> dict[str, list]:
    """Return the settings that differ between a cell's trials, with their values in order."""
    settings = [setting_of(text) for text in cell["setting"].unique()]
    found = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        values = {json.dumps(setting.get(name)): setting.get(name) for setting in settings}
        if len(values) > 1:
            found[name] = sorted(values.values(), key=value_order)
    return found


def _at_edge(value: Any, tried: list) -> bool:
    numbers = [v for v in tried if value_order(v)[0] == 0]
    return value_order(value)[0] == 0 and value in (numbers[0], numbers[-1])


def best(trials: str, specs: "Sequence[RunSpec]") -> dict[Cell, dict[str, Any]]:
    """Return the settings of each method's best trial, from local rows if there are any, else committed rows.

    Args:
        trials: the suite of trials.
        specs: the current specs of that suite; rows of other runs are ignored.

    Returns:
        All settings (lr, alpha, batch sizes, ..., and length_threshold if the method has one) of the best
        trial, by (model, task, label). A tie in the validation score goes to the lower validation loss. A
        trial that did not finish cannot be selected.

    Raises:
        UserError: a trial has no row yet, the rows have different versions of a task, or no trial of a method
            has finished.
    """
    from benchmarks.config.labels import label
    from benchmarks.results.sources import load_rows

    try:
        rows, _ = load_rows(trials)
    except UserError:
        rows = []
    expected = {_key(spec.config(), label(spec)) for spec in specs}
    found = {_key(row["config"], label_of(row)): row for row in rows}
    missing = sorted(expected - found.keys())
    if missing:
        model, task, method, _ = missing[0]
        raise UserError(
            f"{len(missing)} of the {len(expected)} trials of suite {trials} have no row yet, including "
            f"{method} on {task} with {model}: run `python -m benchmarks sweep {trials}`"
        )
    settings = {}
    results = Results.of([found[key] for key in expected])
    versions = [rule.what for rule in VERSIONS]
    if outdated := counted([entry for entry in results.excluded if entry["what"] in versions]):
        raise UserError(
            f"suite {trials}: {'; '.join(outdated)} cannot be compared with the other trials: run "
            f"`python -m benchmarks sweep {trials}`"
        )
    for cell, runs in results.selected.groupby(CELL, sort=False):
        if not (runs["outcome"] == "done").any():
            model, task, method = cell
            raise UserError(f"suite {trials}: no trial of {method} on {task} with {model} finished")
        settings[cell] = _settings(json.loads(runs["setting"].iloc[0]))
    return settings


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a trial may vary: the method's settings, and its length threshold if any."""
    threshold = config.get("length_threshold")
    return config["settings"] | ({} if threshold is None else {"length_threshold": threshold})


def _key(config: dict[str, Any], label: str) -> tuple[str, str, str, str]:
    """Return what identifies a trial: everything but the device, and whether its rows come from the hub."""
    # The hub and a folder hold the same public rows, and a sweep may use either.
    other = {"device": None, "data": "builtin" if config.get("data") == "builtin" else "public"}
    values = json.dumps(identifying(config) | other, sort_keys=True)
    return config["model"], config["task"], label, values
