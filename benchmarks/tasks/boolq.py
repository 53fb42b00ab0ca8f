"""BoolQ: yes/no questions about a passage (Clark et al., arXiv 1905.10044; SuperGLUE, arXiv 1905.00537)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import ORDER, Story, fill, length, pick, remarks, two_kinds


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {"passage": _fields.text(raw, "passage"), "question": _fields.text(raw, "question"), "label": label}
    ]


def prompt(row: Row) -> str:
    question = row["question"].rstrip("?")
    return f"{row['passage']} {question[:1].upper()}{question[1:]}?\n"


def scene(rng: Random, bare: bool = False) -> Story:
    """Draw a story with two remarks, each praise or blame; without other sentences if `bare`."""
    words = tuple(pick(rng, (_words.BLAME, _words.PRAISE)[kind]) for kind in two_kinds(rng, 2))
    size = 0 if bare else length(rng, median=50, low=12, high=112)
    return words, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, words: tuple[str, str], passage: str) -> Row:
    """Build a row that asks whether the first or the last remark is praise."""
    which = int(rng.random() < 0.5)
    question = f"is it true that the {ORDER[which]} impression was good"
    return {"passage": passage, "question": question, "label": int(words[which] in _words.PRAISE)}


TASK = Task(
    title="BoolQ",
    version=1,
    hub=Hub("aps/super_glue", "boolq"),
    prompt=prompt,
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["passage"], row["question"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.boolean(raw)),
    generate=lambda rng: ask(rng, *scene(rng)),
)
