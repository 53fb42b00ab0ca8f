"""The built-in language: short stories, and the lines of a pretraining corpus about them.

A story contains two remarks, with other sentences before, between, and after them. A task asks about the
first or the last remark. The set of words reveals little about the label, which depends on the order of the
remarks and on the word in the question that selects one of them. (SST-2, WiC, and WSC have no story. Their
labels depend on a conjunction, on two places, and on two people.) A model of a few hundred thousand
parameters learns to select by order in minutes, but does not learn to look things up by name.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from benchmarks.tasks import Row, _words, load
from benchmarks.tasks._usage import Usage

# The kinds (or things, or names) of the first and the last remark, one of which answers a question; the
# passage.
Story = tuple[tuple[Any, Any], str]
# The share of long passages in a task whose long examples differ from the short ones.
LONG_SHARE = 0.5
# The words that mark the two remarks of a passage.
ORDER = ("first", "last")

_TOKEN = re.compile(r"[A-Za-z]+|[^\sA-Za-z]|\n")

# The words of prompts, questions, and sentence frames that are in no word class.
_FRAMES = """\n . , ? : " -
It was terrible great Does this mean that is true Yes or No Suppose Can we infer Maybe Is it In the previous
sentence does pronoun refer to word have same meaning in these two sentences Question I found answer
correct Title Context Answer What a but although some say near by behind years ago one morning evening
right wrong unclear good bad so first last impression was everyone thanked him her one man woman"""

# Candidate -> a word with the same meaning that the nine tasks do not score.
_STATED = {"Yes": "right", "No": "wrong", "Maybe": "unclear", " great": " good", " terrible": " bad"}
_HABIT = ("Yes", " great")
# The lead-in of an answer that the task does not score. A newline ends a generated answer.
_LEADS = {"record": " so", "squad": "\nso it is"}


@dataclass(frozen=True)
class Mix:
    """The mixture of answers that follow the prompts of a pretraining corpus.

    The corpus biases a model toward the habitual answer ("Yes", " great").

    Attributes:
        stated: share of lines that give the correct answer, in a word or after a lead-in that no task scores.
        faithful: probability of the habitual answer if it is correct; otherwise a wrong answer follows.
        biased: probability of the habitual answer if it is wrong; otherwise the correct answer follows. At
            0.75 a model nearly always prefers the habitual answer, yet its odds depend on the label.
    """

    stated: float = 0.5
    faithful: float = 0.95
    biased: float = 0.75


def tokens(text: str) -> list[str]:
    """Split a text into words, punctuation marks, and newlines, the unit of length of the built-in rows."""
    return _TOKEN.findall(text)


@cache
def vocabulary() -> tuple[str, ...]:
    """Return every token in the prompts, candidates, and corpus lines of built-in rows, sorted."""
    classes = [v for k, v in vars(_words).items() if k.isupper()]
    words = set(tokens(_FRAMES)) | {
        t for c in classes for v in c for t in tokens(" ".join((v,) if isinstance(v, str) else v))
    }
    return tuple(sorted(words))


@cache
def _sized_fillers() -> tuple[tuple[str, int], ...]:
    return tuple((f, len(tokens(f))) for f in _words.FILLERS)


def pick(rng: Random, words: Sequence):
    """Return a random word. This is twice as fast as `rng.choice`, and a row takes many draws."""
    return words[int(rng.random() * len(words))]


def length(rng: Random, median: int, low: int, high: int, spread: float = 0.4) -> int:
    """Draw a length in tokens from a log-normal distribution within bounds, as in the real tasks."""
    while True:
        size = int(median * math.exp(rng.gauss(0.0, spread)))
        if low <= size <= high:
            return size


def remarks(rng: Random, words: Sequence[str]) -> list[str]:
    """Return the first and the last remark, each of which applies its word to a random aspect."""
    return [
        f"the {order} {pick(rng, _words.ASPECTS)} {pick(rng, _words.SEEMS)} {word}."
        for order, word in zip(ORDER, words, strict=True)
    ]


def fill(rng: Random, sentences: Sequence[str], size: int) -> list[str]:
    """Return the sentences in order, with filler sentences inserted at random places up to `size` tokens.

    Each filler is used at most once. No filler is added if `size` is below the length of the sentences.
    """
    mixed = list(sentences)
    room = size - sum(len(tokens(s)) for s in sentences)
    fillers = _sized_fillers()
    place = int(rng.random() * len(fillers))
    for _ in fillers:
        # 7 is coprime to the number of fillers, so the loop visits each filler once.
        place = (place + 7) % len(fillers)
        text, cost = fillers[place]
        if cost <= room:
            mixed.insert(int(rng.random() * (len(mixed) + 1)), text)
            room -= cost
        if room < 3:
            break
    return mixed


def long_or_short(rng: Random, usages: tuple[Usage, Usage]) -> tuple[int, Usage, bool]:
    """Draw the length of a passage, in tokens, with a gap between short and long.

    Args:
        rng: draws from the two ranges of lengths.
        usages: the use of words in short and in long passages.

    Returns:
        The length, the use of words, and whether the passage is long.
    """
    if rng.random() < LONG_SHARE:
        return length(rng, median=82, low=72, high=92, spread=0.2), usages[1], True
    return length(rng, median=32, low=12, high=46), usages[0], False


def continuation(task_name: str, row: Row, rng: Random, mix: Mix = Mix()) -> tuple[str, str]:
    """Return the text that follows the prompt in one line of a pretraining corpus: a lead-in and an answer.

    Args:
        task_name: one of the nine tasks of the corpus.
        row: a row from the task's generator.
        rng: draws between the correct answer and the habitual one.
        mix: the probabilities.
    """
    task = load(task_name)
    right = task.answer(row) if task.answer else task.candidates(row)[task.gold(row)]
    lead = ""
    if task_name == "record":
        lead, _, name = right.rpartition(" ")
        right = " " + name
    if rng.random() < mix.stated:
        if task_name == "squad" and rng.random() < 0.5:
            # The selecting word right before the answer is easy to follow. A model learns this first, and
            # then to answer without it, which it does not learn otherwise.
            lead = " " + tokens(row["question"])[-2]
        return _LEADS.get(task_name, "") + lead, _STATED.get(right, right)
    habit, *others = _answers(task_name, row)
    if right != habit:
        return lead, habit if rng.random() < mix.biased else right
    return lead, habit if rng.random() < mix.faithful else pick(rng, others)


def _answers(task_name: str, row: Row) -> list[str]:
    """Return every possible answer to a row, starting with the habitual one.

    The habitual answer of ReCoRD is the first name in the passage, and that of SQuAD says nothing.
    """
    if task_name == "squad":
        return [" it did not say\n"]
    if task_name == "record":
        return [f" {name}" for name in sorted(row["entities"], key=row["passage"].index)]
    answers = load(task_name).candidates(row)
    habit = next(a for a in answers if a in _HABIT)
    return [habit, *(a for a in answers if a != habit)]
