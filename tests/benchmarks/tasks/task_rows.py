"""Recorded and generated rows of the tasks, and independent rules that parse generated text.

The rules share no code with the generators, so a test that compares the two can detect an error in either.
"""

import json
import re
from pathlib import Path
from random import Random

from benchmarks import tasks
from benchmarks.suites import quick
from benchmarks.tasks import _words

FIXTURES = json.loads((Path(__file__).parent.parent / "fixtures" / "tasks.json").read_text())

CANDIDATES = {
    "sst2": [" terrible", " great"],
    "rte": ["Yes", "No"],
    "cb": ["Yes", "No", "Maybe"],
    "boolq": ["No", "Yes"],
    "wsc": ["No", "Yes"],
    "wic": ["No", "Yes"],
    "multirc": ["No", "Yes"],
    "sst5": [" terrible", " bad", " okay", " good", " great"],
    "trec": [" Description", " Entity", " Expression", " Human", " Location", " Number"],
    "snli": ["Yes", "Maybe", "No"],
    "mnli": ["Yes", "Maybe", "No"],
    "qnli": ["Yes", "No"],
    "cola": ["No", "Yes"],
    "mrpc": ["No", "Yes"],
}

# The tasks that the nano models are pretrained on.
NINE = sorted(quick.TASKS)


def generated(name, count, seed=0):
    """Return built-in rows of a task."""
    rng = Random(seed)
    return [tasks.load(name).generate(rng) for _ in range(count)]


def right_answer(task, row):
    """Return the text of a right answer."""
    if task.answer:
        return task.answer(row)
    return task.candidates(row)[task.gold(row)]


def by_word(**classes):
    """Return each word with the name of its class."""
    return {word: kind for kind, words in classes.items() for word in words}


KINDS = by_word(
    praise=_words.PRAISE + _words.NEW_PRAISE,
    blame=_words.BLAME + _words.NEW_BLAME,
    color=_words.COLORS + _words.NEW_COLORS,
)

PLACES = by_word(country=_words.COUNTRY + _words.NEW_COUNTRY, city=_words.CITY + _words.NEW_CITY)

ORDERS = {"first": 0, "last": -1} | dict.fromkeys(_words.NEW_FIRST, 0) | dict.fromkeys(_words.NEW_LAST, -1)


def in_order(stated, things):
    """Return the things in the order in which the text names them. If the text also states it, check it."""
    assert [order for order in stated if order] in ([], ["first", "last"])
    return things


def remarks(text):
    """Return the words of praise, blame, or color in a text's remarks, in order."""
    matches = re.findall(r"\bthe (?:(first|last) )?\w+ (?:was|seemed|felt|looked) (\w+)\.", text)
    matches = [(order, word) for order, word in matches if word in KINDS]
    return in_order([order for order, _ in matches], [word for _, word in matches])


def taken(text):
    """Return (who, what) for each sentence in which a person takes a thing, in order."""
    matches = re.findall(
        rf"\b(?:(first|last) )?([A-Z]\w+) (?:{'|'.join(_words.TAKES)}) (?:the (first|last) )?(\w+)\.",
        text,
    )
    return in_order(
        [one + other for one, _, other, _ in matches], [(who, what) for _, who, _, what in matches]
    )


def place(text):
    """Return the index of the remark that the question at the end of a text asks for: 0 or -1."""
    return next(ORDERS[word] for word in reversed(re.findall(r"\w+", text)) if word in ORDERS)


def selected(passage, question):
    """Return the class of the remark that a question asks for."""
    words = remarks(passage)
    assert len(words) == 2
    return KINDS[words[place(question)]]
