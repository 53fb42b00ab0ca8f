"""The built-in language: short stories, and the text a pretraining corpus has of them.

A story has two remarks with other sentences before, between and after them, and a task asks for the
first or the last one. Which words occur says little about the label: it depends on which of them comes
first and on the word of the question that selects one. (SST-2, WiC and WSC tell no story: their labels
depend on a conjunction, on two places and on two people.) A model of a few hundred thousand parameters
learns to select by order in minutes; to look things up by name it does not.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from benchmarks.tasks import Row, _words, load

# What is asked for of the first and of the last remark (a word, a thing, a name), and the passage.
Story = tuple[tuple[str, str], str]
# The words of a question that select one of the two.
ORDER = ("first", "last")

_TOKEN = re.compile(r"[A-Za-z]+|[^\sA-Za-z]|\n")

# What the prompts, the questions and the sentence frames add to the word classes.
_FRAMES = """\n . , ? : " -
It was terrible great Does this mean that is true Yes or No Suppose Can we infer Maybe Is it In the previous
sentence does pronoun refer to word have same meaning in these two sentences Question I found answer
correct Title Context Answer What a but although some say near by behind years ago one morning evening
right wrong unclear good bad so first last impression was everyone thanked him her one man woman came"""

# The answer in words that no prompt asks for.
_STATED = {"Yes": "right", "No": "wrong", "Maybe": "unclear", " great": " good", " terrible": " bad"}
_HABIT = ("Yes", " great")


@dataclass(frozen=True)
class Mix:
    """What the pretraining corpus says after a prompt.

    Attributes:
        stated: share of lines that give the truth, in words or a lead-in that the task does not score.
        faithful: probability of the habitual answer where it is right; otherwise a wrong one follows.
        biased: probability of the habitual answer where it is wrong; otherwise the right one follows.
            At 0.75 a model says it nearly always, yet its odds carry the label.
    """

    stated: float = 0.5
    faithful: float = 0.95
    biased: float = 0.75


def tokens(text: str) -> list[str]:
    """Words, punctuation marks and newlines of a text: the unit in which the built-in rows are sized."""
    return _TOKEN.findall(text)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every token that prompts, candidates and corpus lines of built-in rows are made of, sorted."""
    classes = [v for k, v in vars(_words).items() if k.isupper()]
    words = set(tokens(_FRAMES)) | {
        t for c in classes for v in c for t in tokens(" ".join((v,) if isinstance(v, str) else v))
    }
    return tuple(sorted(words))


@cache
def _sized_fillers() -> tuple[tuple[str, int], ...]:
    return tuple((f, len(tokens(f))) for f in _words.FILLERS)


def pick(rng: Random, words: Sequence):
    """One of the words (twice as fast as `rng.choice`, and rows are made of many)."""
    return words[int(rng.random() * len(words))]


def length(rng: Random, median: int, low: int, high: int, spread: float = 0.4) -> int:
    """A length in tokens, log-normal between bounds: the shape of the real tasks' histograms."""
    while True:
        size = int(median * math.exp(rng.gauss(0.0, spread)))
        if low <= size <= high:
            return size


def remarks(rng: Random, words: Sequence[str]) -> list[str]:
    """The first and the last remark, each saying its word of something."""
    return [
        f"the {order} {pick(rng, _words.ASPECTS)} {pick(rng, _words.SEEMS)} {word}."
        for order, word in zip(ORDER, words, strict=True)
    ]


def two_kinds(rng: Random, kinds: int, unlike: float = 0.75) -> tuple[int, int]:
    """Kinds of two remarks, unlike with that probability: the words of such a pair give no label away."""
    first = int(rng.random() * kinds)
    if rng.random() < unlike:
        return first, (first + 1 + int(rng.random() * (kinds - 1))) % kinds
    return first, first


def fill(rng: Random, sentences: Sequence[str], size: int) -> list[str]:
    """The sentences in their order, with others, each at most once, strewn among them up to `size` tokens.

    `size` below the sentences' own adds none.
    """
    mixed = list(sentences)
    room = size - sum(len(tokens(s)) for s in sentences)
    fillers = _sized_fillers()
    place = int(rng.random() * len(fillers))
    for _ in fillers:
        # 7 shares no divisor with the number of fillers: every one is met once.
        place = (place + 7) % len(fillers)
        text, cost = fillers[place]
        if cost <= room:
            mixed.insert(int(rng.random() * (len(mixed) + 1)), text)
            room -= cost
        if room < 3:
            break
    return mixed


def continuation(task_name: str, row: Row, rng: Random, mix: Mix = Mix()) -> str:
    """What follows the prompt in one line of a pretraining corpus.

    Args:
        task_name: one of the nine tasks with a built-in generator.
        row: a row made by that generator.
        rng: decides between the stated truth and the habit.
        mix: how often.
    """
    task = load(task_name)
    right = task.answer(row) if task.answer else task.candidates(row)[task.gold(row)]
    if rng.random() < mix.stated:
        return _STATED.get(right) or " so it is" + right
    answers = _answers(task_name, row)
    habit = answers[0]
    if right != habit:
        return habit if rng.random() < mix.biased else right
    return habit if rng.random() < mix.faithful else pick(rng, answers[1:])


def corpus_line(task_name: str, row: Row, rng: Random, mix: Mix = Mix()) -> str:
    """One line of a pretraining corpus: a prompt and what follows it, see `continuation`."""
    return load(task_name).prompt(row) + continuation(task_name, row, rng, mix)


def _answers(task_name: str, row: Row) -> list[str]:
    """Every answer a row allows, the habitual one first: without label words, what is named first.

    The answers of a SQuAD row are the things in its context.
    """
    if task_name == "squad":
        return [f" {word}\n" for word in tokens(row["context"]) if word in _words.THINGS]
    answers = load(task_name).candidates(row)
    if task_name == "record":
        first = min(row["entities"], key=row["passage"].index)
        habit = answers[row["entities"].index(first)]
    else:
        habit = next(a for a in answers if a in _HABIT)
    return [habit, *(a for a in answers if a != habit)]
