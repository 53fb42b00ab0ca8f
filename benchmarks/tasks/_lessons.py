"""Lessons: pretraining text that asks several things of one passage: most of it teaches the relation."""

from collections.abc import Iterator
from random import Random

from benchmarks import registry
from benchmarks.tasks import load
from benchmarks.tasks._language import Fact, Mix, continuation, say, tokens

STATED = Mix(stated=1.0)


def lesson(
    task_name: str, rng: Random, size: int = 128, recital: float = 0.5, facts: int | None = None
) -> list[tuple[str, str]]:
    """A passage with its facts told once more, or with several questions and their stated answers.

    Args:
        task_name: a task of the nine; one without a passage gives a single prompt.
        rng: draws passage and questions.
        size: the most tokens that all texts and answers may have, special tokens apart.
        recital: share of passages whose facts are told once more.
        facts: the most facts of a passage, which then holds nothing else; None leaves it as the task has it.

    Returns:
        (text, answer) pairs to be joined in order; the first text holds the passage.
    """
    task, module = load(task_name), registry.module("task", task_name)
    if not hasattr(module, "scene"):
        row = task.generate(rng)
        return [(task.prompt(row), continuation(task_name, row, rng, STATED))]
    told, passage = module.scene(rng)
    if facts is not None:
        # CB's questions need all four people.
        told = told[: max(facts, 4 if task_name == "cb" else 2)]
        passage = " ".join(map(say, told))
    pairs = _recite(rng, told, passage) if rng.random() < recital else _ask(task_name, rng, told, passage)
    kept = []
    for text, answer in pairs:
        size -= len(tokens(text + answer))
        if kept and size < 0:
            break
        kept.append((text, answer))
    return kept


def _recite(rng: Random, told: list[Fact], passage: str) -> list[tuple[str, str]]:
    facts = rng.sample(told, len(told))
    heads = [passage, *"." * (len(facts) - 1)]
    return [
        (f"{head} {name} {verb}", f" {what}") for head, (name, verb, what) in zip(heads, facts, strict=True)
    ]


def _ask(task_name: str, rng: Random, told: list[Fact], passage: str) -> Iterator[tuple[str, str]]:
    task, module, asked = load(task_name), registry.module("task", task_name), []
    for _ in range(20):
        row = module.ask(rng, told, passage)
        # A question asked before could be answered by copying; there may be few others.
        if row not in asked:
            text = task.prompt(row)
            yield text.partition(passage)[2] if asked else text, continuation(task_name, row, rng, STATED)
            asked.append(row)
