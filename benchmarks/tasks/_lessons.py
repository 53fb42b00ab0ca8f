"""Lessons: pretraining text that asks several things of one passage: most of it teaches the relation."""

from random import Random

from benchmarks import registry
from benchmarks.tasks import load
from benchmarks.tasks._language import Mix, continuation, tokens

STATED = Mix(stated=1.0)


def lesson(task_name: str, rng: Random, size: int = 128) -> list[tuple[str, str]]:
    """A passage with questions and their stated answers.

    Args:
        task_name: a task of the nine; one without a passage gives a single prompt.
        rng: draws passage and questions.
        size: the most tokens that all texts and answers may have, special tokens apart.

    Returns:
        (text, answer) pairs to be joined in order; the first text holds the passage.
    """
    task, module = load(task_name), registry.module("task", task_name)
    if not hasattr(module, "scene"):
        row = task.generate(rng)
        return [(task.prompt(row), continuation(task_name, row, rng, STATED))]
    told, passage = module.scene(rng)
    pairs: list[tuple[str, str]] = []
    asked = []
    # A question asked before could be answered by copying; there may be few others.
    for _ in range(20):
        row = module.ask(rng, told, passage)
        if row in asked:
            continue
        asked.append(row)
        text, answer = task.prompt(row), continuation(task_name, row, rng, STATED)
        if pairs:
            text = text.partition(passage)[2]
        size -= len(tokens(text + answer))
        if pairs and size < 0:
            break
        pairs.append((text, answer))
    return pairs
