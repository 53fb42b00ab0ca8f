"""MultiRC with long examples that matter: they ask questions of another form, with words of their own."""

from dataclasses import replace
from random import Random

from benchmarks.tasks import Row, _difficulty, multirc
from benchmarks.tasks._language import long_or_short


def generate(rng: Random) -> Row:
    """Draw a short row like those of MultiRC, or a long one whose question has the second form."""
    size, usage = long_or_short(rng, _difficulty.MULTIRC_LONG)
    return multirc.ask(rng, *multirc.scene(rng, usage, size), usage)


TASK = replace(multirc.TASK, title="MultiRC-long", hub=None, from_hub=None, generate=generate)
