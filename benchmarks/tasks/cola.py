"""CoLA: grammatical acceptability of a sentence (Warstadt et al., arXiv 1805.12471; GLUE).

The metric is GLUE's, Matthews correlation. MeZO-SVRG's paper, which trains a classification head on it,
reports accuracy. The prompt is our choice.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import pick


def from_hub(raw: Row) -> list[Row]:
    return [{"sentence": _fields.text(raw, "sentence"), "label": _fields.index(raw, 2)}]


def _clause(rng: Random) -> list[str]:
    word = pick(rng, (*_words.PRAISE, *_words.BLAME))
    degree = [pick(rng, _words.DEGREES)] if rng.random() < 0.4 else []
    return ["the", pick(rng, _words.ASPECTS), pick(rng, _words.SEEMS), *degree, word]


def generate(rng: Random) -> Row:
    """Generate a sentence of one or two clauses.

    If it is unacceptable, two adjacent words among the first three of a clause are swapped.
    """
    label = int(rng.random() < 0.5)
    clauses = [_clause(rng) for _ in range(1 + (rng.random() < 0.5))]
    if not label:
        words, at = pick(rng, clauses), int(rng.random() * 2)
        words[at], words[at + 1] = words[at + 1], words[at]
    link = f" {pick(rng, ('and', 'but', 'although'))} "
    return {"sentence": link.join(map(" ".join, clauses)) + ".", "label": label}


TASK = Task(
    title="CoLA",
    version=1,
    generator_version=2,
    hub=Hub("nyu-mll/glue", "cola"),
    prompt=lambda row: f"{row['sentence']}\nIs this sentence correct? Yes or No?\n",
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["sentence"],),
    metric="matthews",
    from_hub=from_hub,
    from_file=from_hub,
    generate=generate,
)
