"""Tasks without Python: a TOML file with a prompt, the field of the answer, and the answers.

    title = "Reviews"
    prompt = "{text} It was"
    label = "sentiment"
    [answers]
    negative = " terrible"
    positive = " great"

A file whose answers are generated has `answer = "{answer}"` and `metric` instead of `label` and `[answers]`.
The canonical row of such a task holds the fields that the file names, and the label's index.
"""

import difflib
import json
import tomllib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.tasks import Row, Task
from benchmarks.tasks._description_checks import Problem, check, check_keys
from benchmarks.tasks._numbers import FINAL, final_number
from benchmarks.tasks._template import Template


def load(file: Path) -> Task:
    """Return the task that a TOML file describes; `benchmarks.tasks.load` fills in its name.

    Raises:
        UserError: the file cannot be read, is not TOML, or does not describe a task.
    """
    try:
        values = read(file)
        return _Described(file, values).task()
    except Problem as error:
        raise UserError(f"{file}: {error}") from None


def read(file: Path) -> dict[str, Any]:
    """Return the values of a TOML file.

    Raises:
        UserError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(source(file))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: not TOML: {error}; put texts in quotes") from None


def source(file: Path) -> str:
    """Return the text of a TOML file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8: save the file as UTF-8") from None


def content(file: Path) -> str:
    """Return everything that a TOML file says, without its comments and its layout."""
    return json.dumps(read(file), ensure_ascii=False, default=str)


class _Described:
    """The functions of a described task."""

    def __init__(self, file: Path, values: Mapping[str, Any]) -> None:
        self.file = file
        check_keys(values)
        self.title = values.get("title") or file.stem
        self.prompt = _template("prompt", values["prompt"])
        self.cloze = _template("cloze", values["cloze"]) if "cloze" in values else None
        self.label: str | None = values.get("label")
        self.answers: dict[str, str] = values.get("answers", {})
        self.answer = _template("answer", values["answer"]) if "answer" in values else None
        self.metric = values.get("metric", "accuracy" if self.answers else "f1")
        self.more = {k: values[k] for k in ("max_new_tokens",) if k in values}
        texts = values.get("inputs") or ["{" + name + "}" for name in self.prompt.fields]
        if "inputs" not in values and len(texts) > 2:
            texts = ["\n".join(texts)]
        self.inputs = tuple(_template("inputs", text) for text in texts)
        self.version = 1 + zlib.crc32(json.dumps(values, ensure_ascii=False, default=str).encode())
        check(self, values)
        # Field -> the key that names it, in the order of the canonical row.
        self.texts: dict[str, str] = {}
        for key, found in (("prompt", [self.prompt]), ("cloze", [self.cloze]), ("inputs", self.inputs)):
            for name in (name for template in found if template for name in template.fields):
                self.texts.setdefault(name, key)
        self.index = {label_text(value): i for i, value in enumerate(self.answers)}
        self.candidates = list(self.answers.values())

    def task(self) -> Task:
        """Return the task."""
        common = {
            "title": self.title,
            "version": self.version,
            "prompt": self.prompt.filled,
            "inputs": lambda row: tuple(one.filled(row) for one in self.inputs),
            "from_file": self.from_file,
            "cloze": None if self.cloze is None else self.cloze.filled,
            "metric": self.metric,
            **self.more,
        }
        if self.answers:
            label = self.label
            return Task(candidates=lambda row: self.candidates, gold=lambda row: row[label], **common)
        return Task(
            candidates=lambda row: [],
            gold=lambda row: row["answers"],
            # A newline ends generation, so an answer has none but the last character.
            answer=lambda row: f" {row['target']}\n",
            loss="teacher_forcing",
            **common,
        )

    def from_file(self, raw: Row) -> list[Row]:
        """Return the canonical row of a raw row; raise `ValueError` if a field is missing or invalid."""
        if self.answer is not None and raw.get("is_impossible") is True:
            # A question of SQuAD 2 that the context does not answer.
            return []
        row = {name: self._text(raw, name, key) for name, key in self.texts.items()}
        if not any(row[name] for name in self.prompt.fields):
            which = " and ".join(map(repr, self.prompt.fields))
            raise ValueError(f"field {which} is empty: fill it in, or remove the row")
        if self.answers:
            return [row | {self.label: self._index(raw)}]
        return [row | self._generated(raw)]

    def _value(self, raw: Row, name: str, key: str) -> Any:
        if name in raw:
            return raw[name]
        near = difflib.get_close_matches(name, map(str, raw), n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"field {name!r}, which {key} of {self.file} names, is missing{hint} (fields: "
            f"{', '.join(map(str, raw)) or 'none'})"
        )

    def _text(self, raw: Row, name: str, key: str) -> str:
        value = self._value(raw, name, key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise ValueError(
                f"field {name!r}, which {key} of {self.file} names, must be a text, not {value!r:.40}"
            )
        return (value or "").strip()

    def _index(self, raw: Row) -> int:
        value = self._value(raw, self.label, "label")
        text = label_text(value)
        found = self.index.get(text)
        if found is None:
            near = difflib.get_close_matches(text, self.index, n=1, cutoff=0.4)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(
                f"field {self.label!r} must be one of {', '.join(self.index)}, not {value!r:.40}{hint}: "
                f"correct it, or add it to [answers] of {self.file}"
            )
        return found

    def _generated(self, raw: Row) -> Row:
        """Return the text to train on and the accepted answers."""
        fields = self.answer.fields
        values = {name: self._value(raw, name, "answer") for name in fields}
        several = next((v for v in values.values() if isinstance(v, (list, dict))), None)
        if several is not None:
            # SQuAD's form, {"text": [...]}, and a plain list of accepted answers.
            listed = several.get("text") if isinstance(several, dict) else several
            if len(fields) > 1 or not isinstance(listed, list) or not listed:
                raise ValueError(
                    f"field {fields[0]!r} must be a text or a list of texts, not {several!r:.40}"
                )
            rows = [{fields[0]: text} for text in listed]
        else:
            rows = [values]
        texts = [
            " ".join(self.answer.filled({n: self._text(row, n, "answer") for n in fields}).split())
            for row in rows
        ]
        if "" in texts:
            raise ValueError(f"field {fields[0]!r} is empty: fill it in, or remove the row")
        if self.metric == "f1":
            return {"target": texts[0], "answers": list(dict.fromkeys(texts))}
        numbers = [final_number(text if FINAL in text else FINAL + text) for text in texts]
        if None in numbers:
            raise ValueError(
                f"answer {texts[numbers.index(None)]!r:.40} has no number, which metric exact_match of "
                f'{self.file} compares: end it in "{FINAL}" and a number, or set metric = "f1"'
            )
        target = texts[0] if FINAL in texts[0] else f"{FINAL} {numbers[0]}"
        return {"target": target, "answers": list(dict.fromkeys(numbers))}


def _template(key: str, text: str) -> Template:
    try:
        return Template(text)
    except ValueError as error:
        raise Problem(f"{key}: {error}") from None


def label_text(value: Any) -> str:
    """Return a label as text: booleans as true and false, whole numbers without decimals."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text.lower() if text.lower() in ("true", "false") else text
