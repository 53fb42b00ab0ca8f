"""CB: three-way entailment of an embedded clause (CommitmentBank, de Marneffe et al. 2019; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import ORDER, Story, fill, length, pick, remarks, two_kinds


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def scene(rng: Random, bare: bool = False) -> Story:
    """Draw a story with two remarks, each praise, blame, or a color; without other sentences if `bare`."""
    kinds = (_words.PRAISE, _words.BLAME, _words.COLORS)
    words = tuple(pick(rng, kinds[kind]) for kind in two_kinds(rng, 3))
    size = 0 if bare else length(rng, median=34, low=16, high=95, spread=0.5)
    return words, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, words: tuple[str, str], premise: str) -> Row:
    """Build a row whose label is the kind of the first or the last remark: 0 praise, 1 blame, 2 color."""
    which = int(rng.random() < 0.5)
    label = next(i for i, k in enumerate((_words.PRAISE, _words.BLAME, _words.COLORS)) if words[which] in k)
    return {"premise": premise, "hypothesis": f"the {ORDER[which]} impression was good", "label": label}


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
