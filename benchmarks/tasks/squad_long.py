"""SQuAD with long examples that matter: they ask questions of another form, with words of their own."""

from dataclasses import replace
from random import Random

from benchmarks.tasks import Row, _difficulty, squad
from benchmarks.tasks._language import long_or_short


def generate(rng: Random) -> Row:
    """Draw a short row like those of SQuAD, or a long one whose question has the second form."""
    size, usage = long_or_short(rng, _difficulty.SQUAD_LONG)
    return squad.ask(rng, *squad.scene(rng, usage, size), usage)


TASK = replace(squad.TASK, title="SQuAD-long", hub=None, from_hub=None, generate=generate)
