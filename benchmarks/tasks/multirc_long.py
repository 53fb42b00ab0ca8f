"""MultiRC with long examples that matter: no opinion in a long passage occurs in a short one."""

from dataclasses import replace
from random import Random

from benchmarks.tasks import Row, _difficulty, multirc
from benchmarks.tasks._language import long_or_short


def generate(rng: Random) -> Row:
    """Draw a short row like those of MultiRC, or a long one with other opinions, which agree."""
    size, usage, _ = long_or_short(rng, _difficulty.MULTIRC_LONG)
    return multirc.ask(rng, *multirc.scene(rng, usage, size), usage)


TASK = replace(
    multirc.TASK, title="MultiRC-long", hub=None, from_hub=None, generate=generate, generator_version=1
)
