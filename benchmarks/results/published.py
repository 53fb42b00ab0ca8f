"""Numbers as papers print them (`results/published.csv`, and a user's own), and ours beside them.

A line of the file is one printed number with its source: paper, table, model, task, method, metric, value,
unit, source. What no source confirms is not in it, and is an empty entry here.
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
# Names in the place of a task that are none of ours: means over tasks, what is measured on no task (""), one
# task at a given length, and tasks of other papers that the suite does not have.
NO_TASK = ("", "average", "avg", "avg (FO-heavy mix)", "avg (ZO-heavy mix)", "MultiRC (avg 400 tokens)")
ELSEWHERE = ("COPA", "DROP", "MNLI", "SNLI", "SST-5", "TREC")
# What a table prints where there is no number.
MARKERS = ("OOM",)
# How papers name a method -> its label here. Any other name is its own label ("MeZO", "zero-shot"), and one
# that is no label of ours ("LP", "ICL-32", "HiZOO") stands beside nothing.
LABELS = {
    "FT": "Adam",
    "FT-Adam": "Adam",
    "FT (Adam)": "Adam",
    "Adam (FT)": "Adam",
    "FT-LoRA": "Adam (LoRA)",
    "MeZO-LoRA": "MeZO (LoRA)",
}
# How a paper names what our rows call a metric; its numbers are in percent, ours in 0..1.
METRICS = {"accuracy": "accuracy", "f1": "F1", "exact_match": "exact match"}
DEVIATION = "_std"


def load(extra: Path | None = None, file: Path = FILE) -> pd.DataFrame:
    """Every printed number.

    Args:
        extra: a user's own file of the same columns, merged in.
        file: the suite's.

    Returns:
        A line for each number: `COLUMNS` as printed, but task (our name where the task is one of ours, else
        None) and value (nan where `printed` is a marker such as "OOM"); and title (the task as printed),
        printed (the value as text), label (the method's here) and where ("published.csv:12").

    Raises:
        UserError: a file that cannot be read or lacks a column; a line with an unknown task or unit, a value
            that is no number, no source, or one that is there already: each names file and line, and one
            number with two values names both.
    """
    lines: dict[tuple, dict] = {}
    for source in (file, extra):
        for line in _lines(source) if source else ():
            key = tuple(line[name] for name in KEY)
            before = lines.get(key)
            if before is None:
                lines[key] = line
            elif (before["printed"], before["unit"]) != (line["printed"], line["unit"]):
                said = [f"{one['printed']} {one['unit']} ({one['source']})" for one in (line, before)]
                raise UserError(
                    f"{line['where']}: {' '.join(filter(None, key))} is {said[0]}, but {said[1]} in "
                    f"{before['where']}: leave one of them out"
                )
            elif before["file"] == line["file"]:
                raise UserError(f"{line['where']}: the same number as in {before['where']}: leave one out")
    return pd.DataFrame(lines.values()).drop(columns=["file"])


def _lines(file: Path) -> Iterator[dict]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    reader = csv.DictReader(text.splitlines(), strict=True)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f"{file}:1: no column {', '.join(missing)}; the columns are {','.join(COLUMNS)}")
    try:
        for line in reader:
            yield _checked(line, f"{file.name}:{reader.line_num}") | {"file": str(file)}
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: not CSV: {error}") from None


def _checked(line: dict, where: str) -> dict:
    if None in line or None in line.values():
        raise UserError(f"{where}: not {len(COLUMNS)} fields; quote one that holds a comma")
    line = {name: line[name].strip() for name in COLUMNS}
    for name in ("paper", "table", "model", "method", "metric", "source"):
        if not line[name]:
            raise UserError(f"{where}: no {name}: every number has one")
    if line["unit"] not in UNITS:
        raise _told(where, unknown("unit", line["unit"], UNITS))
    title = line["task"]
    task = _tasks().get(_plain(title))
    if task is None and title not in (*NO_TASK, *ELSEWHERE):
        known = [name for name in {*_titles(), *NO_TASK, *ELSEWHERE} if name]
        raise _told(where, unknown("task", title, known))
    printed = line["value"]
    value = math.nan if printed in MARKERS else _number(printed, where)
    label = LABELS.get(line["method"], line["method"])
    return line | {
        "task": task, "title": title, "value": value, "printed": printed, "label": label, "where": where
    }  # fmt: skip


def _told(where: str, error: UserError) -> UserError:
    return UserError(f"{where}: {error}")


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: value {text!r} is no number, nor {' or '.join(MARKERS)}")
    return value


def _plain(title: str) -> str:
    """A task's name without case and punctuation: papers print "WIC" and "WiC".

    >>> _plain("SST-2")
    'sst2'
    """
    return re.sub(r"[^a-z0-9]", "", title.lower())


@cache
def _titles() -> tuple[str, ...]:
    return tuple(tasks.load(name).title for name in registry.files("task"))


@cache
def _tasks() -> dict[str, str]:
    """Plain title -> a task's name; of several with one title the one that is named like it."""
    named = sorted(registry.files("task"), key=lambda name: _plain(name) == _plain(tasks.load(name).title))
    return {_plain(tasks.load(name).title): name for name in named}


def _is_ours(label: str) -> bool:
    """Whether it is a method here, or a variant of one ("Adam (LoRA)")."""
    return re.sub(r" \(.*\)$", "", label) in METHODS


def beside(
    means: pd.DataFrame,
    paper: str,
    table: str | None = None,
    model: str | None = None,
    numbers: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A paper's numbers, ours, and the difference.

    A printed number and one of ours belong together where the task has the same title, the method the same
    label (`LABELS`), and the metric is the same.

    Args:
        means: `benchmarks.results.frame.Results.means`.
        paper: as printed numbers name it ("MeZO").
        table: one of its tables; None takes them all.
        model: as the paper names it, "{shots}" being those of our runs; None where it has no numbers.
        numbers: `load`'s; None loads them.

    Returns:
        A line for each score of ours, and for each printed number of the same tasks that has a label of
        ours: model, shots, task, title, label, metric, n, paper_model, table, published and published_std
        (%, nan where nothing is printed), printed (text, also "OOM"), ours and difference (% and points; nan
        where either is missing), outcome, source.
    """
    numbers = load() if numbers is None else numbers
    numbers = numbers[(numbers["paper"] == paper) & (numbers["unit"] == "%")]
    if table is not None:
        numbers = numbers[numbers["table"] == table]
    lines = []
    for (ours, shots), block in means.groupby(["model", "shots"], sort=False, dropna=False):
        theirs = None if model is None else model.format(shots=0 if pd.isna(shots) else int(shots))
        printed = numbers[numbers["model"] == theirs]
        for task, here in block.groupby("task", sort=False):
            lines += _of_task(
                here, printed, {"model": ours, "shots": shots, "task": task, "paper_model": theirs}
            )
    columns = ["model", "shots", "task", "title", "label", "metric", "n", "paper_model", "table", "published",
               "published_std", "printed", "ours", "difference", "outcome", "source"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def _of_task(here: pd.DataFrame, printed: pd.DataFrame, place: dict) -> Iterator[dict]:
    title = here["title"].iloc[0]
    metric = METRICS[here["metric"].iloc[0]]
    same = printed[printed["title"].map(_plain) == _plain(title)]
    values, deviations = (same[same["metric"] == name] for name in (metric, metric + DEVIATION))
    own = {line.label: line for line in here.itertuples()}
    for label in dict.fromkeys([*own, *(name for name in values["label"] if _is_ours(name))]):
        mean = own.get(label)
        ours = 100 * mean.score if mean is not None and mean.outcome == "done" else math.nan
        common = place | {
            "title": title, "label": label, "metric": metric, "ours": ours, "n": mean.n if mean else 0,
            "outcome": mean.outcome if mean else "",
        }  # fmt: skip
        found = values[values["label"] == label]
        if found.empty:
            nothing = dict.fromkeys(("published", "published_std", "difference"), math.nan)
            yield common | nothing | {"table": "", "printed": "", "source": ""}
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
