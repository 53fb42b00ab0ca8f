"""Lessons: pretraining text with several questions about one passage, each with its correct answer."""

from collections.abc import Iterator
from random import Random

from benchmarks import registry
from benchmarks.tasks import load
from benchmarks.tasks._language import Mix, continuation, tokens

STATED = Mix(stated=1.0)


def lesson(task_name: str, rng: Random, bare: bool = False, size: int = 128) -> list[tuple[str, str]]:
    """Return a passage with questions about it and their correct answers.

    Args:
        task_name: one of the nine tasks of the corpus; a task without a passage gives a single prompt.
        rng: draws the passage and the questions.
        bare: whether the story consists only of the two sentences that questions are about.
        size: maximum number of tokens of all texts and answers, without special tokens.

    Returns:
        (text, answer) pairs, which are to be joined in order; the first text contains the passage.
    """
    task, module = load(task_name), registry.module("task", task_name)
    if not hasattr(module, "scene"):
        row = task.generate(rng)
        return [(task.prompt(row), continuation(task_name, row, rng, STATED))]
    pairs = []
    for text, answer in _ask(task_name, rng, *module.scene(rng, bare)):
        size -= len(tokens(text + answer))
        if pairs and size < 0:
            break
        pairs.append((text, answer))
    return pairs


def _ask(task_name: str, rng: Random, words: tuple[str, str], passage: str) -> Iterator[tuple[str, str]]:
    task, module, previous = load(task_name), registry.module("task", task_name), []
    for _ in range(20):
        row = module.ask(rng, words, passage)
        # A repeated question could be answered by copying. Some passages allow only a few questions.
        if row not in previous:
            text = task.prompt(row)
            yield text.partition(passage)[2] if previous else text, continuation(task_name, row, rng, STATED)
            previous.append(row)
