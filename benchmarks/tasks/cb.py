"""CB: three-way entailment of an embedded clause (CommitmentBank, de Marneffe et al. 2019; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields
from benchmarks.tasks._language import Story, fill, length, remarks
from benchmarks.tasks._usage import BLAME, COLOR, PRAISE, Usage

# In the order of the labels.
KINDS = (PRAISE, BLAME, COLOR)


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story with two remarks, each praise, blame, or a color, in at most `size` tokens."""
    kinds = usage.kinds(rng, 3)
    words = [usage.word(rng, KINDS, kind) for kind in kinds]
    if size is None:
        size = length(rng, median=34, low=16, high=95, spread=0.5)
    return kinds, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, kinds: tuple[int, int], premise: str, usage: Usage) -> Row:
    """Build a row whose label is the kind of the first or the last remark: 0 praise, 1 blame, 2 color."""
    which = int(rng.random() < 0.5)
    return {
        "premise": premise,
        "hypothesis": f"the {usage.order(rng, which)} impression was good",
        "label": kinds[which],
    }


TASK = Task(
    title="CB",
    version=1,
    generator_version=2,
    hub=Hub("aps/super_glue", "cb"),
    prompt=lambda row: (
        f'Suppose {row["premise"]} Can we infer that "{row["hypothesis"]}"? Yes, No, or Maybe?\n'
    ),
    candidates=lambda row: ["Yes", "No", "Maybe"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["premise"], row["hypothesis"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 3)),
    from_file=lambda raw: _row(raw, _fields.named(raw, ("entailment", "contradiction", "neutral"))),
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.CB), _difficulty.CB),
)
