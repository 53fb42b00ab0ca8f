"""Checks of a task that a TOML file describes (`benchmarks.tasks._described`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.errors import unknown
from benchmarks.tasks._template import MASK

if TYPE_CHECKING:
    from benchmarks.tasks._described import _Described

# The type of each key, as TOML names it.
KEYS = {
    "title": "text",
    "prompt": "text",
    "label": "text",
    "answers": "table",
    "answer": "text",
    "metric": "text",
    "max_new_tokens": "whole number",
    "cloze": "text",
    "inputs": "list of texts",
}
GENERATED = ("f1", "exact_match")
_TYPES = {"text": str, "table": dict, "whole number": int, "list of texts": list}


class Problem(ValueError):
    """The description is invalid. The message does not name the file."""


def check_keys(values: Mapping[str, Any]) -> None:
    """Check the keys of a description and the types of their values.

    Raises:
        Problem: a key is unknown, has a value of another type, or is empty; or there is no prompt.
    """
    for key, value in values.items():
        if key not in KEYS:
            raise Problem(f"{unknown('key', key, KEYS)}")
        kind = _TYPES[KEYS[key]]
        if key == "inputs" and isinstance(value, list) and not all(isinstance(v, str) for v in value):
            raise Problem(f"inputs must be a list of texts, not {value!r:.60}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Problem(f"{key} must be a {KEYS[key]}, not {value!r:.60}")
        if not value:
            raise Problem(f"{key} is empty: fill it in, or remove it")
    if "prompt" not in values:
        raise Problem(
            'prompt is missing: write prompt = "{text} It was" with the fields of the rows in braces'
        )


def check(described: "_Described", values: Mapping[str, Any]) -> None:
    """Check that the parts of a description fit together.

    Args:
        described: the parsed description.
        values: what its file says.

    Raises:
        Problem: they do not.
    """
    if not described.prompt.fields:
        raise Problem('prompt names no field: write a field of the rows in braces, as in "{text} It was"')
    for key, found in (
        ("prompt", (described.prompt,)),
        ("inputs", described.inputs),
        ("answer", (described.answer,)),
    ):
        if any(one is not None and one.masks for one in found):
            raise Problem(f"{key} contains {{{MASK}}}, which is for cloze: remove it")
    if described.cloze is not None and described.cloze.masks != 1:
        raise Problem(f"cloze must contain {{{MASK}}} once, not {described.cloze.masks or 'no'} times")
    if not 1 <= len(described.inputs) <= 2:
        raise Problem(f"inputs must hold one or two texts, not {len(described.inputs)}")
    if described.answers:
        _check_classes(described)
    elif described.answer is None:
        raise Problem(
            "no answers: add label and a table [answers] of its values, or answer for generated answers"
        )
    elif described.label is not None:
        raise Problem("label has no effect without a table [answers]: add the table, or remove label")
    elif described.metric not in GENERATED:
        raise Problem(f"{unknown('metric of generated answers', described.metric, GENERATED)}")
    elif not described.answer.fields:
        raise Problem("answer names no field: write the field of the answer in braces")
    for key in ("cloze", "inputs"):
        if described.answer is not None and key in values:
            raise Problem(f"{key} has no effect on generated answers: remove it")


def _check_classes(described: "_Described") -> None:
    if described.answer is not None:
        raise Problem("answer and [answers] exclude each other: remove one of them")
    if described.label is None:
        raise Problem("label is missing: name the field whose values are the keys of [answers]")
    if described.metric in GENERATED:
        raise Problem(
            f"metric {described.metric!r} is for generated answers: remove it, or replace [answers]"
        )
    if described.more:
        raise Problem("max_new_tokens has no effect with [answers], which generate nothing: remove it")
    if len(described.answers) < 2:
        raise Problem("[answers] must have at least two classes")
    for value, text in described.answers.items():
        if not isinstance(text, str) or not text.strip():
            raise Problem(f"answer of {value!r} must be a text that is not blank, not {text!r:.40}")
        if described.prompt.ends_in_word and text[0].isascii() and text[0].isalnum():
            raise Problem(
                f"answer of {value!r} follows a word of prompt without a space: write {' ' + text!r}"
            )
    for key, found in (("prompt", described.prompt), ("cloze", described.cloze)):
        if found is not None and described.label in found.fields:
            raise Problem(f"{key} contains {{{described.label}}}, which is the label: remove it")
