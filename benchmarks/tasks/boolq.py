"""BoolQ: yes/no questions about a passage (Clark et al., arXiv 1905.10044; SuperGLUE, arXiv 1905.00537)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields
from benchmarks.tasks._language import Story, fill, length, remarks
from benchmarks.tasks._usage import OPINIONS, Usage


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {"passage": _fields.text(raw, "passage"), "question": _fields.text(raw, "question"), "label": label}
    ]


def prompt(row: Row) -> str:
    question = row["question"].rstrip("?")
    return f"{row['passage']} {question[:1].upper()}{question[1:]}?\n"


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story with two remarks, each praise or blame, in at most `size` tokens."""
    kinds = usage.kinds(rng, 2)
    words = [usage.word(rng, OPINIONS, kind) for kind in kinds]
    if size is None:
        size = length(rng, median=50, low=12, high=112)
    return kinds, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, kinds: tuple[int, int], passage: str, usage: Usage) -> Row:
    """Build a row that asks whether the first or the last remark is praise."""
    which = int(rng.random() < 0.5)
    question = f"is it true that the {usage.order(rng, which)} impression was good"
    return {"passage": passage, "question": question, "label": kinds[which]}


TASK = Task(
    title="BoolQ",
    version=1,
    generator_version=2,
    hub=Hub("aps/super_glue", "boolq"),
    prompt=prompt,
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["passage"], row["question"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.boolean(raw)),
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.BOOLQ), _difficulty.BOOLQ),
)
