"""Tables of the page: headings, and cells with what is shown, what is sorted by, and where they lead."""

import base64
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import pandas as pd

from benchmarks.report.analysis import Analysis
from benchmarks.report.stats_tables import Made
from benchmarks.report.tables import MEASURES, NONE, block_of, head_of, seeds_of
from benchmarks.results.frame import ordered
from benchmarks.results.stats import ALL

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
# Columns of names and notes stay texts even where they begin with a digit.
_TEXTS = (
    "model",
    "task",
    "method",
    "a",
    "b",
    "tried",
    "chosen",
    "at the grid's edge",
    "run",
    "status",
    "ended",
)


class Cell(NamedTuple):
    """One entry: its text, the number it is sorted by (None in a column of texts), its link, its emphasis."""

    text: str
    order: float | str | None = None
    href: str = ""
    best: bool = False


class Table(NamedTuple):
    """A table of the page: heading, id, columns (name, whether of numbers), lines, note, CSV and its file."""

    head: str
    id: str
    columns: list[tuple[str, bool]]
    lines: list[list[Cell]]
    note: str
    csv: str
    file: str


def id_of(stem: str, model: str) -> str:
    """The id of a model's table: a model may be named by its path."""
    return re.sub(r"[^\w.-]", "_", f"{stem}-{model}")


def csv_link(table: pd.DataFrame) -> str:
    """The address of a table's CSV, all inside the address."""
    text = table.to_csv(index=False, lineterminator="\n")
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def runs_link(chosen: bool = True, **of: str | Sequence[str]) -> str:
    """The address, within the page, of the runs of a model, task or method.

    >>> runs_link(task="sst2", method=["Addax", "MeZO"])
    '#runs?task=sst2&method=Addax&method=MeZO&chosen=yes'
    """
    return "#runs?" + urlencode(of | ({"chosen": "yes"} if chosen else {}), doseq=True)


def table(
    head: str, id: str, texts: pd.DataFrame, data: pd.DataFrame, note: str, link: Callable[[int], str]
) -> Table:
    """A table of entries as text; a column is one of numbers where each entry begins with one or is empty.

    Args:
        head: its heading.
        id: of the element, and the stem of the CSV's file.
        texts: what is shown.
        data: what is downloaded.
        note: stands below.
        link: the number of a line -> where its numbers lead.
    """
    numbers = {name: name not in _TEXTS and _are_numbers(texts[name]) for name in texts}
    lines = [
        [
            Cell(str(text), _order(str(text)) if of_numbers else None, _href(str(text), of_numbers, link, i))
            for text, of_numbers in zip(line, numbers.values(), strict=True)
        ]
        for i, line in enumerate(texts.itertuples(index=False, name=None))
    ]
    return Table(head, id, list(numbers.items()), lines, note, csv_link(data), f"{id}.csv")


def _href(text: str, of_numbers: bool, link: Callable[[int], str], i: int) -> str:
    return link(i) if of_numbers and text not in ("", NONE) else ""


def _are_numbers(texts: pd.Series) -> bool:
    found = [bool(_NUMBER.match(text)) for text in map(str, texts)]
    return any(found) and all(
        yes or text in ("", NONE, "OOM", "failed", "killed") for yes, text in zip(found, texts, strict=True)
    )


def _order(text: str) -> float | str:
    found = _NUMBER.match(text)
    # DataTables sorts an empty value below every number.
    return float(found.group()) if found else ""


def made(stem: str, of: Made) -> Table:
    """One of the long tables, whose numbers lead to the runs that they are made of."""
    data = of.data.reset_index(drop=True)

    def link(i: int) -> str:
        line = data.loc[i]
        methods = [line[name] for name in ("label", "method", "a", "b") if name in data]
        task = line["task"] if "task" in data else ALL
        place = {"model": line["model"], "method": methods} | ({} if task == ALL else {"task": task})
        return runs_link(stem != "trials", **place)

    return table(of.head, stem, of.table, of.data, of.note, link)


def blocks(found: Analysis, model: str) -> list[Table]:
    """Scores, memory and time of a model: a line for each method, a column for each task."""
    tables, block = [], found.means[found.means["model"] == model]
    tasks, labels = ordered(block, "task"), ordered(block, "label")
    best = {(label, task) for (of, task), label in found.winners.items() if of == model}
    for stem, (column, _) in MEASURES.items():
        texts = block_of(block, column, found.means, spread=" ± ")
        lines = []
        for label, line in zip(labels, texts.itertuples(index=False, name=None), strict=True):
            cells = [Cell(line[0])]
            for task, text in zip([*tasks, ALL], line[1:], strict=True):
                place = {"model": model, "method": label} | ({} if task == ALL else {"task": task})
                href = "" if text == NONE else runs_link(**place)
                cells.append(Cell(text, _order(text), href, stem == "score" and (label, task) in best))
            lines.append(cells)
        data = block[["model", "task", "label", "outcome", "n", "failed", column, f"{column}_std"]]
        columns = [(name, name != "method") for name in texts]
        id, note = id_of(stem, model), f"{seeds_of(block).capitalize()}."
        tables.append(
            Table(head_of(stem, found.means), id, columns, lines, note, csv_link(data), f"{id}.csv")
        )
    return tables
