"""Lessons: pretraining text with several questions about one passage, each with its correct answer."""

from collections.abc import Iterator
from random import Random

from benchmarks import registry
from benchmarks.tasks import Row, Task, load
from benchmarks.tasks._language import Mix, Story, continuation, tokens
from benchmarks.tasks._usage import Usage

STATED = Mix(stated=1.0)


def lesson(
    task_name: str, rng: Random, usage: Usage, bare: bool = False, size: int = 128
) -> list[tuple[str, str]]:
    """Return a passage with questions about it and their correct answers.

    Args:
        task_name: one of the nine tasks of the corpus; a task without a passage gives a single prompt.
        rng: draws the passage and the questions.
        usage: the use of words.
        bare: whether the story consists only of the two sentences that questions are about.
        size: maximum number of tokens of all texts and answers, without special tokens.

    Returns:
        (text, answer) pairs, which are to be joined in order; the first text contains the passage.
    """
    task, module = load(task_name), registry.module("task", task_name)
    if not hasattr(module, "scene"):
        return [_pair(task, module.draw(rng, usage, bare), rng)]
    pairs = []
    for text, answer in _ask(task_name, rng, module.scene(rng, usage, 0 if bare else None), usage):
        size -= len(tokens(text + answer))
        if pairs and size < 0:
            break
        pairs.append((text, answer))
    return pairs


def _ask(task_name: str, rng: Random, story: Story, usage: Usage) -> Iterator[tuple[str, str]]:
    task, module, previous = load(task_name), registry.module("task", task_name), []
    for _ in range(20):
        row = module.ask(rng, *story, usage)
        # A repeated question could be answered by copying. Some passages allow only a few questions.
        if row not in previous:
            text, answer = _pair(task, row, rng)
            yield text.partition(story[1])[2] if previous else text, answer
            previous.append(row)


def _pair(task: Task, row: Row, rng: Random) -> tuple[str, str]:
    lead, answer = continuation(task.name, row, rng, STATED)
    return task.prompt(row) + lead, answer
