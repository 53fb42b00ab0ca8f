"""The fixed order of models, tasks, and methods in tables and figures, and the format of values."""

import re
from typing import Any

import pandas as pd

from benchmarks.config.names import IN_CONTEXT, METRIC_NAMES, ZERO_SHOT

# The families in the order of the papers' tables. Other models follow.
FAMILIES = ("opt", "llama", "roberta")
METHODS = (ZERO_SHOT, IN_CONTEXT, "Addax", "Addax-WA", "MeZO", "MeZO-SVRG", "IP-SGD", "SGD", "Adam")
# The nine tasks of Addax, two more of MeZO, the tasks of the papers on RoBERTa-large and MeZO-SVRG, MRPC, and
# word problems.
TASKS = ("sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad", "copa", "drop",
         "sst2-cloze", "sst5", "snli", "mnli", "rte-cloze", "trec", "qnli", "cola", "mrpc",
         "gsm8k")  # fmt: skip


def method_of(label: str) -> str:
    """Return the method's name in a label, which may also name an arithmetic, a dtype, or a number.

    >>> method_of("MeZO (released) bfloat16"), method_of("ICL-32"), method_of("My method")
    ('MeZO', 'ICL', 'My method')
    """
    first = re.split(r" |-(?=\d)", label, maxsplit=1)[0]
    return first if first in METHODS else label


def _rank(order: tuple[str, ...], name: str) -> tuple[int, str]:
    known = method_of(name)
    return (order.index(known) if known in order else len(order), name)


def label_key(label: str) -> tuple[int, str]:
    """Return a key that sorts the labels of runs in the fixed order of methods."""
    return _rank(METHODS, label)


def _model_key(model: str) -> tuple[int, str]:
    words = re.split(r"[^a-z]+", model.lower())
    return next((rank for rank, name in enumerate(FAMILIES) if name in words), len(FAMILIES)), model


def sort_key(model: str, task: str, label: str) -> tuple:
    """Return a key that sorts by model, then task, then method.

    >>> sorted(["nano-roberta", "facebook/opt-13b", "nano-llama"], key=lambda m: sort_key(m, "rte", "MeZO"))
    ['facebook/opt-13b', 'nano-llama', 'nano-roberta']
    """
    return _model_key(model), _rank(TASKS, task), label_key(label)


def display_order(data: pd.DataFrame, column: str) -> list[str]:
    """Return the distinct values of "model", "task", or "label" in their fixed order."""
    names = data[column].unique()
    if column == "model":
        return sorted(names, key=_model_key)
    order = {"task": TASKS, "label": METHODS}[column]
    return sorted(names, key=lambda name: _rank(order, name))


def score_name(data: pd.DataFrame, accuracy: str = "accuracy") -> str:
    """Return the names of the metrics of runs, such as "accuracy or F1", for axes and headings."""
    names = METRIC_NAMES | {"accuracy": accuracy}
    *most, last = [names[metric] for metric in METRIC_NAMES if (data["metric"] == metric).any()]
    return f"{', '.join(most)} or {last}" if most else last


def score_unit(data: pd.DataFrame) -> str:
    """Return the unit in which scores of runs are shown, all of them multiplied by 100.

    Accuracy, F1, and exact match are shares. Matthews correlation is none, so it has no percent sign.
    """
    mcc = data["metric"] == "matthews"
    if not mcc.any():
        return "%"
    return "× 100" if mcc.all() else f"%, {METRIC_NAMES['matthews']} × 100"


def task_heading(title: str, metric: str) -> str:
    """Return a task's title, with its metric if that is a metric of all answers.

    >>> task_heading("RTE", "accuracy"), task_heading("CoLA", "matthews")
    ('RTE', 'CoLA (MCC)')
    """
    return f"{title} ({METRIC_NAMES[metric]})" if metric in ("class_f1", "matthews") else title


def value_order(value: Any) -> tuple:
    """Return a sort key that puts numbers first, then texts, and None last."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (2, 0, "") if value is None else (1, 0, str(value))


def format_value(value: Any) -> str:
    """Return a setting's value as text for tables and figures.

    >>> format_value(0.001), format_value(None), format_value("q0.75")
    ('0.001', 'none', 'q0.75')
    """
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)
