"""BoolQ with long examples that matter: no opinion in a long passage occurs in a short one."""

from dataclasses import replace
from random import Random

from benchmarks.tasks import Row, _difficulty, boolq
from benchmarks.tasks._language import long_or_short


def generate(rng: Random) -> Row:
    """Draw a short row like those of BoolQ, or a long one with other opinions, which agree."""
    size, usage, _ = long_or_short(rng, _difficulty.BOOLQ_LONG)
    return boolq.ask(rng, *boolq.scene(rng, usage, size), usage)


TASK = replace(
    boolq.TASK, title="BoolQ-long", hub=None, from_hub=None, generate=generate, generator_version=1
)
