"""MRPC: whether two sentences from the news have the same meaning (Dolan and Brockett 2005; GLUE).

The metric is F1 of the class "equivalent", which GLUE reports beside accuracy. The prompt is our choice.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import pick

_KINDS = (_words.PRAISE, _words.BLAME)


def from_hub(raw: Row) -> list[Row]:
    texts = {key: _fields.text(raw, key) for key in ("sentence1", "sentence2")}
    return [texts | {"label": _fields.index(raw, 2)}]


def _sentence(rng: Random, aspect: str, kind: int) -> str:
    degree = f"{pick(rng, _words.DEGREES)} " if rng.random() < 0.4 else ""
    aside = f", {pick(rng, _words.ASIDES)}" if rng.random() < 0.6 else ""
    return f"the {aspect} {pick(rng, _words.SEEMS)} {degree}{pick(rng, _KINDS[kind])}{aside}."


def generate(rng: Random) -> Row:
    """Generate two opinions on one aspect: label 1 (equivalent) if both are praise, or both are blame."""
    aspect, kind, same = pick(rng, _words.ASPECTS), int(rng.random() < 0.5), int(rng.random() < 0.5)
    kinds = (kind, kind if same else 1 - kind)
    first, second = (_sentence(rng, aspect, each) for each in kinds)
    return {"sentence1": first, "sentence2": second, "label": same}


TASK = Task(
    title="MRPC",
    version=1,
    hub=Hub("nyu-mll/glue", "mrpc"),
    prompt=lambda row: (
        f"{row['sentence1']}\n{row['sentence2']}\n"
        "Is it true that these two sentences have the same meaning? Yes or No?\n"
    ),
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["sentence1"], row["sentence2"]),
    metric="class_f1",
    from_hub=from_hub,
    from_file=from_hub,
    generate=generate,
)
