"""Use of familiar and unfamiliar words, which sets the difficulty of the built-in tasks.

A pretrained nano model knows what the familiar words mean. It has read the unfamiliar words as well, but in
the pretraining corpus their meaning is random, so that only fine-tuning teaches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random

from benchmarks.tasks import _words

# Kind -> familiar and unfamiliar words.
Kinds = Sequence[tuple[tuple[str, ...], tuple[str, ...]]]
BLAME = (_words.BLAME, _words.NEW_BLAME)
PRAISE = (_words.PRAISE, _words.NEW_PRAISE)
COLOR = (_words.COLORS, _words.NEW_COLORS)
OPINIONS: Kinds = (BLAME, PRAISE)
# The order of a remark, in the words of a question.
ORDERS: Kinds = ((("first",), _words.NEW_FIRST), (("last",), _words.NEW_LAST))
PLACES: Kinds = ((_words.COUNTRY, _words.NEW_COUNTRY), (_words.CITY, _words.NEW_CITY))


@dataclass(frozen=True)
class Usage:
    """The use of words in a text.

    Attributes:
        familiar: probability that a word with a meaning (an opinion, a color, a place) is familiar.
        familiar_order: probability that the word of a question that selects a remark is familiar.
        new: the unfamiliar words of each class that are used, as first and last index.
        skew: exponent of the Zipf distribution of the unfamiliar words; 0 is uniform.
        unlike: probability that the two remarks of a text differ in kind, so that the set of words alone does
            not reveal the label.
        meaningful: whether unfamiliar words have their meaning. Without it, their kind is random.
    """

    familiar: float = 1.0
    familiar_order: float = 1.0
    new: tuple[int, int] = (0, 12)
    skew: float = 0.0
    unlike: float = 0.9
    meaningful: bool = True

    def kinds(self, rng: Random, count: int) -> tuple[int, int]:
        """Draw the kinds of two remarks among `count` kinds."""
        first = int(rng.random() * count)
        if rng.random() < self.unlike:
            return first, (first + 1 + int(rng.random() * (count - 1))) % count
        return first, first

    def word(self, rng: Random, kinds: Kinds, kind: int) -> str:
        """Draw a word of a kind."""
        return self._draw(rng, kinds, kind, self.familiar)

    def order(self, rng: Random, which: int) -> str:
        """Draw a word for the first (0) or the last (1) of two remarks."""
        return self._draw(rng, ORDERS, which, self.familiar_order)

    def _draw(self, rng: Random, kinds: Kinds, kind: int, familiar: float) -> str:
        if rng.random() < familiar:
            known = kinds[kind][0]
            return known[int(rng.random() * len(known))]
        if not self.meaningful:
            kind = int(rng.random() * len(kinds))
        words = kinds[kind][1][slice(*self.new)]
        return rng.choices(words, cum_weights=_zipf(len(words), self.skew))[0]


@cache
def _zipf(count: int, skew: float) -> list[float]:
    return list(accumulate((i + 1) ** -skew for i in range(count)))


FAMILIAR = Usage()
CORPUS = Usage(familiar=0.7, familiar_order=0.7, meaningful=False)
