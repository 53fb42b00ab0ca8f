"""RTE: whether a premise entails a hypothesis (Dagan et al. 2005; SuperGLUE, arXiv 1905.00537)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields
from benchmarks.tasks._language import Story, fill, length, remarks
from benchmarks.tasks._usage import OPINIONS, Usage


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story with two remarks, each praise or blame, in at most `size` tokens."""
    kinds = usage.kinds(rng, 2)
    words = [usage.word(rng, OPINIONS, kind) for kind in kinds]
    if size is None:
        size = length(rng, median=28, low=12, high=90, spread=0.5)
    return kinds, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, kinds: tuple[int, int], premise: str, usage: Usage) -> Row:
    """Build a row that asks whether the first or the last remark is praise (label 0, entailment)."""
    which = int(rng.random() < 0.5)
    hypothesis = f"the {usage.order(rng, which)} impression was good"
    return {"premise": premise, "hypothesis": hypothesis, "label": 1 - kinds[which]}


TASK = Task(
    title="RTE",
    version=1,
    generator_version=2,
    hub=Hub("aps/super_glue", "rte"),
    prompt=lambda row: f'{row["premise"]}\nDoes this mean that "{row["hypothesis"]}" is true? Yes or No?\n',
    candidates=lambda row: ["Yes", "No"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["premise"], row["hypothesis"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.named(raw, ("entailment", "not_entailment"))),
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.RTE), _difficulty.RTE),
)
