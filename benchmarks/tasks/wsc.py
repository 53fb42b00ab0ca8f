"""WSC: pronoun resolution, the Winograd Schema Challenge (Levesque et al. 2012; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields, _words
from benchmarks.tasks._language import ORDER, fill, length, pick
from benchmarks.tasks._usage import OPINIONS, Usage


def _row(raw: Row, spans: Row, label: int) -> list[Row]:
    names = {key: _fields.text(spans, f"{key}_text") for key in ("span1", "span2")}
    return [{"text": _fields.text(raw, "text"), **names, "label": label}]


def prompt(row: Row) -> str:
    return (
        f'{row["text"]}\nIn the previous sentence, does the pronoun "{row["span2"].lower()}" '
        f"refer to {row['span1']}? Yes or No?\n"
    )


def draw(rng: Random, usage: Usage, bare: bool = False) -> Row:
    """Draw a sentence about two people; the label is whether the person in question is praised.

    The pronoun refers to a praised person. In most rows one person is praised and one is blamed; in one row
    of ten both are praised or both are blamed.
    """
    kinds = usage.kinds(rng, 2)
    person, pronoun = ("man", "him") if rng.random() < 0.5 else ("woman", "her")
    words = [usage.word(rng, OPINIONS, kind) for kind in kinds]
    clauses = [
        f"the {order} {person} {pick(rng, _words.SEEMS)} {word}"
        for order, word in zip(ORDER, words, strict=True)
    ]
    fillers = fill(rng, [], 0 if bare else length(rng, median=6, low=3, high=12))
    text = " ".join([*fillers, f"{clauses[0]} and {clauses[1]} and everyone thanked {pronoun}."])
    which = int(rng.random() < 0.5)
    return {
        "text": text,
        "span1": f"the {usage.order(rng, which)} {person}",
        "span2": pronoun,
        "label": kinds[which],
    }


TASK = Task(
    title="WSC",
    version=1,
    generator_version=2,
    hub=Hub("aps/super_glue", "wsc.fixed"),
    prompt=prompt,
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["text"], f"{row['span2']} {row['span1']}"),
    from_hub=lambda raw: _row(raw, raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.get(raw, "target", dict), _fields.boolean(raw)),
    generate=lambda rng: draw(rng, _difficulty.WSC),
)
