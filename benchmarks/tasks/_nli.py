"""What the tasks of natural-language inference share: rows of three labels, the cloze, built-in rows."""

from random import Random

from benchmarks.tasks import Row, _fields, _words
from benchmarks.tasks._language import ORDER, pick, two_kinds

# In the order of the labels: entailment, neutral, contradiction.
WORDS = ["Yes", "Maybe", "No"]
_KINDS = (_words.PRAISE, _words.COLOURS, _words.BLAME)


def rows(raw: Row) -> list[Row]:
    """A row of the hub or a file; none where its label is -1: the annotators did not agree."""
    if _fields.get(raw, "label", int) == -1:
        return []
    texts = {key: _fields.text(raw, key) for key in ("premise", "hypothesis")}
    return [texts | {"label": _fields.index(raw, 3)}]


def prompt(row: Row) -> str:
    """CB's, for causal models."""
    return f'Suppose {row["premise"]} Can we infer that "{row["hypothesis"]}"? Yes, No, or Maybe?\n'


def cloze(row: Row, mask: str) -> str:
    """The prompt of LM-BFF (Gao et al., arXiv 2012.15723), as MeZO's paper prints it."""
    return f"{row['premise']} ? {mask} , {row['hypothesis']}"


def words(rng: Random) -> tuple[str, str]:
    """A first and a last word, of praise, of blame or of colour, which is neither."""
    return tuple(pick(rng, _KINDS[kind]) for kind in two_kinds(rng, 3))


def ask(rng: Random, words: tuple[str, str], premise: str) -> Row:
    """Whether the first, or the last, of two remarks is praise: label 0, a colour 1, blame 2."""
    which = int(rng.random() < 0.5)
    label = next(i for i, kind in enumerate(_KINDS) if words[which] in kind)
    return {"premise": premise, "hypothesis": f"the {ORDER[which]} impression was good", "label": label}
