"""WiC: whether a word has the same sense in two sentences (Pilehvar, Camacho-Collados, arXiv 1808.09121)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields, _words
from benchmarks.tasks._language import pick
from benchmarks.tasks._usage import PLACES, Usage

_PLACED = ("near", "by", "behind")
_TIMES = (" in the evening", " years ago", " one morning")


def _row(raw: Row, label: int) -> list[Row]:
    return [{key: _fields.text(raw, key) for key in ("word", "sentence1", "sentence2")} | {"label": label}]


def _sentence(rng: Random, word: str, place: str, bare: bool) -> str:
    head = (
        f"{pick(rng, _words.NAMES)} {pick(rng, _words.NOTICES)} the"
        if rng.random() < 0.6 and not bare
        else "the"
    )
    tail = pick(rng, _TIMES) if rng.random() < 0.3 and not bare else ""
    return f"{head} {word} {pick(rng, _PLACED)} the {place}{tail}."


def draw(rng: Random, usage: Usage, bare: bool = False) -> Row:
    """Draw two sentences with an ambiguous word, which has one sense in the country and one in a city."""
    word = pick(rng, _words.AMBIGUOUS)
    kind, same = int(rng.random() < 0.5), int(rng.random() < 0.5)
    places = [usage.word(rng, PLACES, k) for k in (kind, kind if same else 1 - kind)]
    sentences = [_sentence(rng, word, place, bare) for place in places]
    return {"word": word, "sentence1": sentences[0], "sentence2": sentences[1], "label": same}


TASK = Task(
    title="WIC",
    version=1,
    generator_version=2,
    hub=Hub("aps/super_glue", "wic"),
    prompt=lambda row: (
        f'Does the word "{row["word"]}" have the same meaning in these two sentences? Yes, No?\n'
        f"{row['sentence1']}\n{row['sentence2']}\n"
    ),
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (f"{row['word']}: {row['sentence1']}", row["sentence2"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.boolean(raw)),
    generate=lambda rng: draw(rng, _difficulty.WIC),
)
