"""SST-2: sentiment of a sentence from a movie review (Socher et al. 2013; GLUE, arXiv 1804.07461)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields, _words
from benchmarks.tasks._language import pick
from benchmarks.tasks._usage import OPINIONS, Usage


def from_hub(raw: Row) -> list[Row]:
    return [{"sentence": _fields.text(raw, "sentence"), "label": _fields.index(raw, 2)}]


def _clause(rng: Random, word: str, full: bool) -> str:
    if not full:
        return word
    degree = pick(rng, _words.DEGREES) + " " if rng.random() < 0.4 else ""
    return f"the {pick(rng, _words.ASPECTS)} {pick(rng, _words.SEEMS)} {degree}{word}"


def draw(rng: Random, usage: Usage, bare: bool = False) -> Row:
    """Draw a sentence with one clause (a quarter of rows) or two opposite clauses.

    The label is that of the clause after "but" or before "although". Clauses may be single words, and asides
    may come between them, so that lengths vary.
    """
    label = int(rng.random() < 0.5)
    right, wrong = (usage.word(rng, OPINIONS, kind) for kind in (label, 1 - label))
    full = not bare and rng.random() < 0.75
    if rng.random() < 0.25:
        parts = [_clause(rng, right, True)]
    elif rng.random() < 0.5:
        parts = [_clause(rng, wrong, full), "but " + _clause(rng, right, full)]
    else:
        parts = [_clause(rng, right, full), "although " + _clause(rng, wrong, full)]
    while full and len(parts) < 5 and rng.random() < 0.5:
        parts.insert(int(rng.random() * len(parts)), pick(rng, _words.ASIDES) + " ,")
    return {"sentence": " ".join(parts) + " .", "label": label}


TASK = Task(
    title="SST-2",
    version=1,
    generator_version=2,
    hub=Hub("nyu-mll/glue", "sst2"),
    prompt=lambda row: f"{row['sentence']} It was",
    candidates=lambda row: [" terrible", " great"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["sentence"],),
    from_hub=from_hub,
    from_file=from_hub,
    generate=lambda rng: draw(rng, _difficulty.SST2),
)
