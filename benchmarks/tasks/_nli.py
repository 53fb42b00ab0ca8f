"""Code shared by natural-language inference tasks: rows with three labels, prompts, and built-in rows."""

from random import Random

from benchmarks.tasks import Row, _fields, _words
from benchmarks.tasks._language import ORDER, pick
from benchmarks.tasks._usage import FAMILIAR

# In the order of the labels: entailment, neutral, contradiction.
WORDS = ["Yes", "Maybe", "No"]
_KINDS = (_words.PRAISE, _words.COLORS, _words.BLAME)


def rows(raw: Row) -> list[Row]:
    """Return the row of a raw hub or file row, or no row if its label is -1 (the annotators disagreed)."""
    if _fields.get(raw, "label", int) == -1:
        return []
    texts = {key: _fields.text(raw, key) for key in ("premise", "hypothesis")}
    return [texts | {"label": _fields.index(raw, 3)}]


def prompt(row: Row) -> str:
    """Return CB's prompt, which is for causal models."""
    return f'Suppose {row["premise"]} Can we infer that "{row["hypothesis"]}"? Yes, No, or Maybe?\n'


def cloze(row: Row, mask: str) -> str:
    """Return the prompt of LM-BFF (Gao et al., arXiv 2012.15723) in the form of MeZO's paper."""
    return f"{row['premise']} ? {mask} , {row['hypothesis']}"


def words(rng: Random) -> tuple[str, str]:
    """Draw the words of the first and the last remark: praise, blame, or a color, which is neutral."""
    return tuple(pick(rng, _KINDS[kind]) for kind in FAMILIAR.kinds(rng, 3))


def ask(rng: Random, words: tuple[str, str], premise: str) -> Row:
    """Build a row whose label is the kind of the first or the last remark: 0 praise, 1 color, 2 blame."""
    which = int(rng.random() < 0.5)
    label = next(i for i, kind in enumerate(_KINDS) if words[which] in kind)
    return {"premise": premise, "hypothesis": f"the {ORDER[which]} impression was good", "label": label}
