"""Lessons: pretraining text that asks several things of one passage, and answers each in words."""

from collections.abc import Iterator
from random import Random

from benchmarks import registry
from benchmarks.tasks import load
from benchmarks.tasks._language import Mix, continuation, tokens

STATED = Mix(stated=1.0)


def lesson(task_name: str, rng: Random, bare: bool = False, size: int = 128) -> list[tuple[str, str]]:
    """A passage with the questions it allows and their stated answers.

    Args:
        task_name: a task of the nine; one without a passage gives a single prompt.
        rng: draws passage and questions.
        bare: the story holds no sentence but the two that may be asked for.
        size: the most tokens that all texts and answers may have, special tokens apart.

    Returns:
        (text, answer) pairs to be joined in order; the first text holds the passage.
    """
    task, module = load(task_name), registry.module("task", task_name)
    if not hasattr(module, "scene"):
        row = task.generate(rng)
        return [(task.prompt(row), continuation(task_name, row, rng, STATED))]
    kept = []
    for text, answer in _ask(task_name, rng, *module.scene(rng, bare)):
        size -= len(tokens(text + answer))
        if kept and size < 0:
            break
        kept.append((text, answer))
    return kept


def _ask(task_name: str, rng: Random, words: tuple[str, str], passage: str) -> Iterator[tuple[str, str]]:
    task, module, asked = load(task_name), registry.module("task", task_name), []
    for _ in range(20):
        row = module.ask(rng, words, passage)
        # A question asked before could be answered by copying; there may be few others.
        if row not in asked:
            text = task.prompt(row)
            yield text.partition(passage)[2] if asked else text, continuation(task_name, row, rng, STATED)
            asked.append(row)
