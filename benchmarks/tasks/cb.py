"""CB: whether a speaker is committed to a clause (CommitmentBank, de Marneffe et al. 2019; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import Fact, Scene, fill, length, pick, say


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def scene(rng: Random) -> Scene:
    """Four people, two pairs of opposites."""
    pairs = rng.sample(_words.OPPOSITES, 2)
    told = list(zip(rng.sample(_words.NAMES, 4), ["is"] * 4, [*pairs[0], *pairs[1]], strict=True))
    rng.shuffle(told)
    return told, " ".join(
        fill(rng, [say(f) for f in told], length(rng, median=32, low=16, high=95, spread=0.5))
    )


def ask(rng: Random, told: list[Fact], premise: str) -> Row:
    """The person's own word, its opposite or a word of the other pair."""
    label = int(rng.random() * 3)
    name, verb, word = pick(rng, told)
    pair = next(p for p in _words.OPPOSITES if word in p)
    if label == 1:
        word = pair[1 - pair.index(word)]
    elif label == 2:
        word = pick(rng, [w for _, _, w in told if w not in pair])
    return {"premise": premise, "hypothesis": f"{name} {verb} {word}", "label": label}


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
    generate=lambda rng: ask(rng, *scene(rng)),
)
