"""BoolQ with long examples that matter: they ask questions of another form, with words of their own."""

from dataclasses import replace
from random import Random

from benchmarks.tasks import Row, _difficulty, boolq
from benchmarks.tasks._language import long_or_short


def generate(rng: Random) -> Row:
    """Draw a short row like those of BoolQ, or a long one whose question has the second form."""
    size, usage = long_or_short(rng, _difficulty.BOOLQ_LONG)
    return boolq.ask(rng, *boolq.scene(rng, usage, size), usage)


TASK = replace(boolq.TASK, title="BoolQ-long", hub=None, from_hub=None, generate=generate)
