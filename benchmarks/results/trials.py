"""What choosing a setting on validation cost: trials of each method, the grid, the value chosen, the time."""

import json
from typing import Any

import pandas as pd

from benchmarks.results.frame import CELL, chosen, trials

COLUMNS = [
    "model",
    "task",
    "title",
    "label",
    "trials",
    "runs",
    "varied",
    "chosen",
    "at_edge",
    "seconds",
    "note",
]


def table(data: pd.DataFrame) -> pd.DataFrame:
    """A line for each model, task and method that was trained.

    Trials are the settings among which `results.frame.chosen` took the one with the best mean score on
    validation; a setting that was run with several seeds is one trial.

    Args:
        data: `benchmarks.results.frame.frame`'s.

    Returns:
        model, task, title, label, trials (settings tried), runs (with all seeds), varied ("lr: 0.001, 0.01";
        empty for one trial), chosen ("lr 0.01"), at_edge (names of varied numbers whose chosen value is the
        least or the greatest tried: a better one may lie beyond), seconds (of training, in all runs of all
        trials), and note (what is unequal: the numbers of trials of a task's methods).
    """
    trained = data[data["label"] != "zero-shot"] if len(data) else data
    if not len(trained):
        return pd.DataFrame(columns=COLUMNS)
    picked = chosen(trained).groupby(CELL, sort=False)["setting"].first()
    lines = [_line(cell, picked[place]) for place, cell in trials(trained).groupby(CELL, sort=False)]
    found = pd.DataFrame(lines)
    counts = found.groupby(["model", "task"])["trials"].agg(["min", "max"])
    unequal = {
        place: f"unequal trials: {low} to {high}" for place, low, high in counts.itertuples() if low < high
    }
    found["note"] = [unequal.get(place, "") for place in zip(found["model"], found["task"], strict=True)]
    return found[COLUMNS]


def _line(cell: pd.DataFrame, setting: str) -> dict[str, Any]:
    values = _varied(cell)
    own = setting_of(setting)
    return {
        **{name: cell[name].iloc[0] for name in ("model", "task", "title", "label")},
        "trials": cell["setting"].nunique(),
        "runs": len(cell),
        "varied": "; ".join(f"{name}: {', '.join(map(shown, tried))}" for name, tried in values.items()),
        "chosen": ", ".join(f"{name} {shown(own.get(name))}" for name in values),
        "at_edge": ", ".join(name for name, tried in values.items() if _at_edge(own.get(name), tried)),
        "seconds": cell["train_seconds"].sum(),
    }


def _varied(cell: pd.DataFrame) -> dict[str, list]:
    """The settings that differ between a cell's trials, and their values in order."""
    settings = [setting_of(text) for text in cell["setting"].unique()]
    names = dict.fromkeys(name for setting in settings for name in setting)
    found = {}
    for name in names:
        values = {json.dumps(setting.get(name)): setting.get(name) for setting in settings}
        if len(values) > 1:
            found[name] = sorted(values.values(), key=order)
    return found


def order(value: Any) -> tuple:
    """A key that sorts numbers before texts, and puts None last."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (2, 0, "") if value is None else (1, 0, str(value))


def shown(value: Any) -> str:
    """A setting's value as tables and figures print it.

    >>> shown(0.001), shown(None), shown("q0.75")
    ('0.001', 'none', 'q0.75')
    """
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _at_edge(value: Any, tried: list) -> bool:
    numbers = [v for v in tried if order(v)[0] == 0]
    return order(value)[0] == 0 and value in (numbers[0], numbers[-1])


def setting_of(text: str) -> dict[str, Any]:
    """A frame's setting with the method's own settings beside the others."""
    config = json.loads(text)
    return {k: v for k, v in config.items() if k != "settings"} | (config.get("settings") or {})
