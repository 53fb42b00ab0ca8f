"""SQuAD with long examples that matter: they ask for the title, and short ones for a thing in the context."""

from dataclasses import replace
from random import Random

from benchmarks.tasks import Row, _difficulty, squad
from benchmarks.tasks._language import long_or_short


def generate(rng: Random) -> Row:
    """Draw a short row like those of SQuAD, or a long one that asks for the title."""
    size, usage, is_long = long_or_short(rng, _difficulty.SQUAD_LONG)
    row = squad.ask(rng, *squad.scene(rng, usage, size), usage)
    return row | {"question": "What was the Title?", "answers": [row["title"]]} if is_long else row


TASK = replace(
    squad.TASK, title="SQuAD-long", hub=None, from_hub=None, generate=generate, generator_version=1
)
