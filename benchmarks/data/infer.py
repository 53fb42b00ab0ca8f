"""Descriptions of tasks from data files: a TOML file for `--task`, which the user can edit."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.data import formats
from benchmarks.data.columns import Column, choose, columns_of
from benchmarks.data.formats import parquet
from benchmarks.errors import UserError
from benchmarks.files import write_atomically
from benchmarks.tasks._described import label_text

# Default number of generated tokens, and the largest number that a description sets.
USUAL_TOKENS, MOST_TOKENS = 50, 512
_CHECKSUM = "# checksum of the lines above: "


def describe(file: Path, *, label: str | None = None, texts: Sequence[str] = ()) -> str:
    """Return the TOML text of a task for a data file.

    The columns of the texts and of the answer are found by their usual names, or by their values: a column
    with few distinct values is a label.

    Args:
        file: the data file.
        label: column of the answer; None to find it.
        texts: columns of the texts, in the order of the prompt; empty to find them.

    Raises:
        UserError: the file cannot be read, or its columns are ambiguous; the message lists them.
    """
    found = columns_of(formats.rows(file), str(file))
    used, answer, has_classes = choose(found, str(file), label, texts)
    lines = [f"# A task for {_one_line(file.name)}. Edit the texts, and pass this file as --task."]
    if unused := [name for name in found if name not in (*used, answer)]:
        lines.append(f"# Columns that are not used: {_one_line(', '.join(unused))}")
    lines.append(f"title = {_quoted(formats.stem_of(file))}")
    if has_classes:
        lines += _classes(used, found[answer], _words_of(file, found, answer))
    else:
        lines += _generated(used, found[answer])
    return "\n".join(lines) + "\n"


def task_for(file: Path, suite: str, label: str | None = None, texts: Sequence[str] = ()) -> str:
    """Write the description of a task for a data file to results/runs/<suite>/<stem>.toml.

    A description that the user has edited is never overwritten.

    Args:
        file: the data file.
        suite: subfolder of results/runs.
        label, texts: as in `describe`.

    Returns:
        The path of the TOML file, relative to the repository if it is inside: the name of the task.

    Raises:
        UserError: as in `describe`; or the user has edited the file, and the columns are given.
    """
    # Imported here because reading rows needs no results.
    from benchmarks.results import store

    stem = re.sub(r"[^\w.-]", "_", formats.stem_of(file))
    target = store.folder(suite) / f"{stem}{registry.DESCRIBED}"
    name = target.relative_to(registry.ROOT) if target.is_relative_to(registry.ROOT) else target
    if target.exists() and _is_edited(target):
        if label or texts:
            raise UserError(
                f"{name} was edited, so the columns come from there: leave out --label and --text, or "
                "remove the file"
            )
        return str(name)
    text = describe(file, label=label, texts=texts)
    whole = text + _CHECKSUM + _digest(text) + "\n"
    if not target.exists() or target.read_text(encoding="utf-8") != whole:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, whole)
    return str(name)


def _is_edited(target: Path) -> bool:
    """Return whether a description differs from what `task_for` has written."""
    text, mark, checksum = target.read_text(encoding="utf-8", errors="replace").rpartition(_CHECKSUM)
    return not mark or checksum.strip() != _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _quoted(text: str) -> str:
    """Return a TOML string; JSON's strings are TOML's, except that TOML has no surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """Return a text for a comment, which ends at the end of its line and holds no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _field(name: str) -> str:
    return "{" + name + "}"


def _word(name: str) -> str:
    """Return a column's name as the heading of its text."""
    words = re.sub(r"[_\W]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def _prompt(used: Sequence[str], answer: str) -> str:
    if used == ["prompt"]:
        return _field("prompt")
    several = len(used) > 1 or used[0].lower() == "question"
    lines = [f"{_word(name)}: {_field(name)}" if several else _field(name) for name in used]
    return "\n".join([*lines, f"{_word(answer)}:"])


def _words_of(file: Path, found: Mapping[str, Column], label: str) -> dict[str, str]:
    """Return the names of classes that are numbers: from a column such as "label_text", or from Parquet."""
    if formats.kind_of(file) == ".parquet" and (names := parquet.class_names(file, label)):
        return {str(i): name for i, name in enumerate(names)}
    beside = next((f"{label}{end}" for end in ("_text", "_name") if f"{label}{end}" in found), None)
    if beside is None or not found[beside].is_label:
        return {}
    words: dict[str, str] = {}
    for _, row in formats.rows(file):
        value, word = row.get(label), row.get(beside)
        if value is None or word is None or words.setdefault(label_text(value), str(word)) != str(word):
            return {}
    return words if len(set(words.values())) == len(words) else {}


def _classes(used: Sequence[str], column: Column, words: Mapping[str, str]) -> list[str]:
    values = sorted(column.values, key=_order)
    # Public data sets use -1 for rows without a label. Such a row is an error that names the remedy.
    values = [value for value in values if value != "-1" or "0" not in values]
    return [
        f"prompt = {_quoted(_prompt(used, column.name))}",
        f"label = {_quoted(column.name)}",
        "# Value of the label = the text after the prompt. Replace numbers and codes by words.",
        "[answers]",
        *(f"{_quoted(value)} = {_quoted(' ' + words.get(value, value))}" for value in values),
    ]


def _order(value: str) -> tuple[bool, float, str]:
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _generated(used: Sequence[str], column: Column) -> list[str]:
    lines = [
        f"prompt = {_quoted(_prompt(used, column.name))}",
        f"answer = {_quoted(_field(column.name))}",
        f"metric = {_quoted('exact_match' if column.numbers else 'f1')}",
    ]
    # Two tokens per word.
    if 2 * column.longest > USUAL_TOKENS:
        lines.append(f"max_new_tokens = {min(2 * column.longest, MOST_TOKENS)}")
    return lines
