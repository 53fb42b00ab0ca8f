"""Published numbers (`results/published.csv` and a user's file) and their comparison with ours.

Each line of the file is one published number with its source: paper, table, model, task, method, metric,
value, unit, source. Numbers that no source confirms are not in the file; the comparison leaves them empty.
"""

import csv
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from benchmarks import registry, tasks
from benchmarks.errors import UserError, unknown
from benchmarks.results.order import METHODS

FILE = registry.ROOT / "results" / "published.csv"
COLUMNS = ("paper", "table", "model", "task", "method", "metric", "value", "unit", "source")
KEY = ("paper", "table", "model", "title", "method", "metric")
UNITS = (
    "%", "GB", "MB", "GPUs", "s", "ms", "x", "10^9 parameters",
    "% (points or relative not stated)", "% (more than this; points or relative not stated)",
)  # fmt: skip
# Task names that do not denote a task: averages over tasks, measurements without a task (""), and a task at a
# given length. `ELSEWHERE` has tasks of other papers that the suite does not include.
NO_TASK = ("", "average", "avg", "avg (FO-heavy mix)", "avg (ZO-heavy mix)", "MultiRC (avg 400 tokens)")
ELSEWHERE = ("MNLI", "SNLI", "SST-5", "TREC")
# Entries that tables print instead of a number.
MARKERS = ("OOM",)
# A paper's name for a method -> our label. Other names are labels as they are ("MeZO", "zero-shot"). Methods
# that we do not have ("LP", "HiZOO") are not compared.
LABELS = {
    "FT": "Adam",
    "FT-Adam": "Adam",
    "FT (Adam)": "Adam",
    "Adam (FT)": "Adam",
    "FT-LoRA": "Adam (LoRA)",
    "MeZO-LoRA": "MeZO (LoRA)",
    "FT-prefix": "Adam (prefix)",
    "MeZO-prefix": "MeZO (prefix)",
}
# Our name for a metric -> the papers' name. The papers' numbers are 100 times as large as ours; those of
# Matthews correlation, too, are listed with the unit "%".
METRICS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "class_f1": "F1",
    "matthews": "Matthews correlation",
}
DEVIATION = "_std"


def load(extra: Path | None = None, file: Path = FILE) -> pd.DataFrame:
    """Load all published numbers.

    Args:
        extra: a user's file with the same columns, which is merged in.
        file: the file of this repository.

    Returns:
        One line per number. `COLUMNS` are as printed, except task (our name, or None if it is not a task of
        the suite) and value (nan if the paper prints a marker such as "OOM"). Further columns are title (the
        task as printed), printed (the value as text), label (our label of the method), and where
        ("published.csv:12").

    Raises:
        UserError: a file cannot be read or lacks a column; a line has an unknown task or unit, an invalid
            value, or no source; or a number occurs twice. Messages name the file and the line, and both
            lines for a number with two values.
    """
    lines: dict[tuple, dict] = {}
    for source in (file, extra):
        for line in _lines(source) if source else ():
            key = tuple(line[name] for name in KEY)
            before = lines.get(key)
            if before is None:
                lines[key] = line
            elif (before["printed"], before["unit"]) != (line["printed"], line["unit"]):
                values = [f"{each['printed']} {each['unit']} ({each['source']})" for each in (line, before)]
                raise UserError(
                    f"{line['where']}: {' '.join(filter(None, key))} is {values[0]}, but {values[1]} in "
                    f"{before['where']}: remove one of the two lines"
                )
            elif before["file"] == line["file"]:
                raise UserError(
                    f"{line['where']}: duplicate of the number in {before['where']}; remove one of the two"
                )
    return pd.DataFrame(lines.values()).drop(columns=["file"])


def _lines(file: Path) -> Iterator[dict]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    reader = csv.DictReader(text.splitlines(), strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f"{file}:1: no column {', '.join(missing)}; the header must be {','.join(COLUMNS)}")
    try:
        for line in reader:
            yield _checked(line, f"{file.name}:{reader.line_num}") | {"file": str(file)}
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: not CSV: {error}") from None


def _checked(line: dict, where: str) -> dict:
    if None in line or None in line.values():
        raise UserError(
            f"{where}: the line must have {len(COLUMNS)} fields; quote fields that contain a comma"
        )
    line = {name: line[name].strip() for name in COLUMNS}
    for name in ("paper", "table", "model", "method", "metric", "source"):
        if not line[name]:
            raise UserError(f"{where}: no {name}; every number needs one")
    if line["unit"] not in UNITS:
        raise _at_line(where, unknown("unit", line["unit"], UNITS))
    title = line["task"]
    task = _tasks().get(_plain(title))
    if task is None and title not in (*NO_TASK, *ELSEWHERE):
        known = [name for name in {*_titles(), *NO_TASK, *ELSEWHERE} if name]
        raise _at_line(where, unknown("task", title, known))
    printed = line["value"]
    value = math.nan if printed in MARKERS else _number(printed, where)
    label = LABELS.get(line["method"], line["method"])
    return line | {
        "task": task, "title": title, "value": value, "printed": printed, "label": label, "where": where
    }  # fmt: skip


def _at_line(where: str, error: UserError) -> UserError:
    return UserError(f"{where}: {error}")


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: value must be a number or {' or '.join(MARKERS)}, not {text!r}")
    return value


def _plain(title: str) -> str:
    """Return a task's name in lower case without punctuation, because papers print both "WIC" and "WiC".

    >>> _plain("SST-2")
    'sst2'
    """
    return re.sub(r"[^a-z0-9]", "", title.lower())


@cache
def _titles() -> tuple[str, ...]:
    return tuple(tasks.load(name).title for name in registry.files("task"))


@cache
def _tasks() -> dict[str, str]:
    """Map plain titles to task names; if tasks share a title, the task with that name wins."""
    named = sorted(registry.files("task"), key=lambda name: _plain(name) == _plain(tasks.load(name).title))
    return {_plain(tasks.load(name).title): name for name in named}


def _is_ours(label: str) -> bool:
    """Return whether a label denotes one of our methods or a variant such as "Adam (LoRA)"."""
    return re.sub(r" \(.*\)$|-\d+$", "", label) in METHODS


def beside(
    means: pd.DataFrame,
    paper: str,
    table: str | None = None,
    model: str | None = None,
    numbers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return a paper's numbers, our scores, and the differences.

    A published number and a score of ours match if they have the same task title, method label (`LABELS`),
    and metric.

    Args:
        means: `benchmarks.results.frame.Results.means`.
        paper: the paper's name in the file ("MeZO").
        table: one of its tables; None means all.
        model: the paper's name for the model, in which "{shots}" is replaced by the shots of our runs. None
            if the paper has no numbers for it.
        numbers: the published numbers from `load`; None loads them.

    Returns:
        One line per score of ours, and one per published number of the same tasks for a method of ours:
        model, shots, task, title, label, metric, n, paper_model, table, published and published_std (%; nan
        if not published), printed (text, including "OOM"), ours and majority (%), difference (points; nan if
        either number is missing), outcome, source.
    """
    numbers = load() if numbers is None else numbers
    numbers = numbers[(numbers["paper"] == paper) & (numbers["unit"] == "%")]
    if table is not None:
        numbers = numbers[numbers["table"] == table]
    lines = []
    for (ours, shots), block in means.groupby(["model", "shots"], sort=False, dropna=False):
        theirs = None if model is None else model.format(shots=0 if pd.isna(shots) else int(shots))
        printed = numbers[numbers["model"] == theirs]
        for task, on_task in block.groupby("task", sort=False):
            lines += _of_task(
                on_task, printed, {"model": ours, "shots": shots, "task": task, "paper_model": theirs}
            )
    columns = ["model", "shots", "task", "title", "label", "metric", "n", "paper_model", "table", "published",
               "published_std", "printed", "ours", "majority", "difference", "outcome", "source"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def _of_task(on_task: pd.DataFrame, printed: pd.DataFrame, fields: dict) -> Iterator[dict]:
    title = on_task["title"].iloc[0]
    metric = METRICS[on_task["metric"].iloc[0]]
    same = printed[printed["title"].map(_plain) == _plain(title)]
    values, deviations = (same[same["metric"] == name] for name in (metric, metric + DEVIATION))
    means = {line.label: line for line in on_task.itertuples()}
    for label in dict.fromkeys([*means, *(name for name in values["label"] if _is_ours(name))]):
        mean = means.get(label)
        ours = 100 * mean.score if mean is not None and mean.outcome == "done" else math.nan
        common = fields | {
            "title": title, "label": label, "metric": metric, "ours": ours, "n": mean.n if mean else 0,
            "outcome": mean.outcome if mean else "", "majority": 100 * mean.majority if mean else math.nan,
        }  # fmt: skip
        found = values[values["label"] == label]
        if found.empty:
            empty = dict.fromkeys(("published", "published_std", "difference"), math.nan)
            yield common | empty | {"table": "", "printed": "", "source": ""}
        for line in found.itertuples():
            at = (deviations["label"] == label) & (deviations["table"] == line.table)
            deviation = deviations.loc[at, "value"]
            yield common | {
                "table": line.table,
                "published": line.value,
                "published_std": deviation.iloc[0] if len(deviation) else math.nan,
                "printed": line.printed,
                "difference": ours - line.value,
                "source": line.source,
            }
