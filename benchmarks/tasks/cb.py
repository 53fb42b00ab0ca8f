"""CB: whether a speaker is committed to a clause (CommitmentBank, de Marneffe et al. 2019; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import fill, length, pick


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def generate(rng: Random) -> Row:
    """Four people, two pairs of opposites: the person's own word, its opposite or another pair's."""
    label = int(rng.random() * 3)
    first, second = rng.sample(_words.OPPOSITES, 2)
    words = [*first, *second]
    names = rng.sample(_words.NAMES, 4)
    asked = int(rng.random() * 4)
    near, other = (first, second) if asked < 2 else (second, first)
    word = (words[asked], near[1 - near.index(words[asked])], pick(rng, other))[label]
    told = [f"{name} is {word}." for name, word in zip(names, words, strict=True)]
    rng.shuffle(told)
    premise = " ".join(fill(rng, told, length(rng, median=32, low=16, high=95, spread=0.5)))
    return {"premise": premise, "hypothesis": f"{names[asked]} is {word}", "label": label}


TASK = Task(
    title="CB",
    version=1,
    hub=Hub("aps/super_glue", "cb"),
    prompt=lambda row: (
        f'Suppose {row["premise"]} Can we infer that "{row["hypothesis"]}"? Yes, No, or Maybe?\n'
    ),
    candidates=lambda row: ["Yes", "No", "Maybe"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["premise"], row["hypothesis"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 3)),
    from_file=lambda raw: _row(raw, _fields.named(raw, ("entailment", "contradiction", "neutral"))),
    generate=generate,
)
