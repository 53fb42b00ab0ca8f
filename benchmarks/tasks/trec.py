"""TREC: classification of questions by the kind of answer, in six coarse classes (Li and Roth 2002).

Labels have the numbers of LM-BFF's and MeZO's files; the hub's numbers differ. The test split is used for
validation. The prompt for causal models is our choice.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import ORDER, fill, length, pick, remarks
from benchmarks.tasks._usage import FAMILIAR

LABELS = ("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM")
WORDS = [" Description", " Entity", " Expression", " Human", " Location", " Number"]
_HUB_LABELS = ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")
# The words that a built-in question may ask for, in the order of the labels.
_KINDS = (
    _words.PRAISE,
    _words.THINGS,
    _words.TITLES,
    _words.NAMES,
    (*_words.COUNTRY, *_words.CITY),
    ("morning", "noon", "evening", "night", "year"),
)


def from_hub(raw: Row) -> list[Row]:
    label = _HUB_LABELS[_fields.index(raw, 6, "coarse_label")]
    return [{"text": _fields.text(raw, "text"), "label": LABELS.index(label)}]


def generate(rng: Random) -> Row:
    """Generate two remarks that end in words of two kinds, and a question about the first or the last one."""
    kinds = FAMILIAR.kinds(rng, 6)
    words = [pick(rng, _KINDS[kind]) for kind in kinds]
    which = int(rng.random() < 0.5)
    story = " ".join(fill(rng, remarks(rng, words), length(rng, median=12, low=8, high=40, spread=0.5)))
    return {"text": f"{story} What was the {ORDER[which]} impression?", "label": kinds[which]}


TASK = Task(
    title="TREC",
    version=1,
    generator_version=2,
    # The main branch has a loading script.
    hub=Hub("CogComp/trec", None, validation="test", revision="refs/convert/parquet"),
    prompt=lambda row: f"Question: {row['text']}\nAnswer type:",
    cloze=lambda row, mask: f"{mask} : {row['text']}",
    candidates=lambda row: WORDS,
    gold=lambda row: row["label"],
    inputs=lambda row: (row["text"],),
    from_hub=from_hub,
    from_file=lambda raw: [{"text": _fields.text(raw, "text"), "label": _fields.index(raw, 6)}],
    generate=generate,
)
