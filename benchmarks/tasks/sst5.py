"""SST-5: sentiment of a sentence from a movie review, in five classes (Socher et al. 2013).

Causal models use SST-2's prompt, which is our choice.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import pick

WORDS = [" terrible", " bad", " okay", " good", " great"]
_STRONG, _WEAK = ("very", "truly"), ("quite", "rather")
# The words of a clause, by label.
_KINDS = (_words.BLAME, _words.BLAME, _words.COLORS, _words.PRAISE, _words.PRAISE)


def _row(raw: Row, key: str) -> list[Row]:
    return [{"sentence": _fields.text(raw, key), "label": _fields.index(raw, 5)}]


def _clause(rng: Random, label: int) -> str:
    degree = pick(rng, _STRONG if label in (0, 4) else _WEAK) + " " if label != 2 else ""
    return f"the {pick(rng, _words.ASPECTS)} {pick(rng, _words.SEEMS)} {degree}{pick(rng, _KINDS[label])}"


def generate(rng: Random) -> Row:
    """Generate a sentence whose deciding clause is strong or weak blame, strong or weak praise, or a color.

    Three rows in five have a second clause, of another kind. As in SST-2, the clause after "but" or before
    "although" decides.
    """
    label = pick(rng, range(5))
    clause = _clause(rng, label)
    if rng.random() < 0.6:
        other = _clause(rng, pick(rng, [k for k in range(5) if _KINDS[k] is not _KINDS[label]]))
        clause = f"{other} but {clause}" if rng.random() < 0.5 else f"{clause} although {other}"
    aside = pick(rng, _words.ASIDES) + " , " if rng.random() < 0.3 else ""
    return {"sentence": f"{aside}{clause} .", "label": label}


TASK = Task(
    title="SST-5",
    version=1,
    generator_version=2,
    hub=Hub("SetFit/sst5", None),
    prompt=lambda row: f"{row['sentence']} It was",
    cloze=lambda row, mask: f"{row['sentence']} It was {mask}.",
    candidates=lambda row: WORDS,
    gold=lambda row: row["label"],
    inputs=lambda row: (row["sentence"],),
    from_hub=lambda raw: _row(raw, "text"),
    from_file=lambda raw: _row(raw, "sentence"),
    generate=generate,
)
