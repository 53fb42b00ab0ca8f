"""What a suite of trials chose: of each method, model and task the settings that validate best."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.config import labels
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError

Cell = tuple[str, str, str]


def best(trials: str, specs: Sequence[RunSpec]) -> dict[Cell, dict[str, Any]]:
    """The settings that each method's trials chose, from this machine's rows or else the committed ones.

    Args:
        trials: the suite whose rows they are.
        specs: its runs as they are now; rows of other settings do not count.

    Returns:
        All settings (lr, alpha, batch sizes, ...) of the best trial, by (model, task, label). A tie in the
        validation score goes to the lower validation loss; a trial that did not end is none.

    Raises:
        UserError: a trial has no row yet, or no trial of a method came to its end.
    """
    # Tables need no torch, and specs no tables: only a suite that builds on trials needs both.
    from benchmarks.results.frame import CELL, chosen, frame, raw

    try:
        rows, _ = raw(trials)
    except UserError:
        rows = []
    wanted = {_place(labels.label(spec), spec.config()) for spec in specs}
    found = {_of_row(row): row for row in rows}
    missing = sorted(wanted - found.keys())
    if missing:
        model, task, label, _ = missing[0]
        raise UserError(
            f"{len(missing)} of the {len(wanted)} trials of suite {trials} have no row yet, {label} on "
            f"{task} with {model} among them: `python -m benchmarks sweep {trials}` makes them"
        )
    settings = {}
    for cell, runs in chosen(frame([found[place] for place in wanted])).groupby(CELL, sort=False):
        if not (runs["outcome"] == "done").any():
            model, task, label = cell
            raise UserError(f"suite {trials}: no trial of {label} on {task} with {model} came to its end")
        config = json.loads(runs["setting"].iloc[0])
        settings[cell] = config["settings"] | {"length_threshold": config["length_threshold"]}
    return settings


def _place(label: str, config: dict[str, Any]) -> tuple[str, str, str, str]:
    chosen = config["settings"] | {"length_threshold": config["length_threshold"]}
    return config["model"], config["task"], label, json.dumps(chosen, sort_keys=True)


def _of_row(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return _place(row["label"], row["config"])
