"""WSC: whom a pronoun refers to, the Winograd Schema Challenge (Levesque et al. 2012; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import fill, length, pick


def _row(raw: Row, spans: Row, label: int) -> list[Row]:
    names = {key: _fields.text(spans, f"{key}_text") for key in ("span1", "span2")}
    return [{"text": _fields.text(raw, "text"), **names, "label": label}]


def prompt(row: Row) -> str:
    return (
        f'{row["text"]}\nIn the previous sentence, does the pronoun "{row["span2"].lower()}" '
        f"refer to {row['span1']}? Yes or No?\n"
    )


def generate(rng: Random) -> Row:
    """The reason speaks of the one who acts or of the other; the question names either."""
    names, pronoun = (_words.MEN, "he") if rng.random() < 0.5 else (_words.WOMEN, "she")
    pair = rng.sample(names, 2)
    referent, asked = int(rng.random() < 0.5), int(rng.random() < 0.5)
    reason = pick(rng, _words.OF_PATIENT if referent else _words.OF_AGENT)
    told = f"{pair[0]} {pick(rng, _words.MEETS)} {pair[1]} because {pronoun} was {reason}."
    text = " ".join(fill(rng, [told], length(rng, median=12, low=8, high=22)))
    return {"text": text, "span1": pair[asked], "span2": pronoun, "label": int(asked == referent)}


TASK = Task(
    title="WSC",
    version=1,
    hub=Hub("aps/super_glue", "wsc.fixed"),
    prompt=prompt,
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["text"], f"{row['span2']} {row['span1']}"),
    from_hub=lambda raw: _row(raw, raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.get(raw, "target", dict), _fields.boolean(raw)),
    generate=generate,
)
