"""BoolQ: yes/no questions on a passage (Clark et al., arXiv 1905.10044; SuperGLUE, arXiv 1905.00537)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields
from benchmarks.tasks._language import Fact, Scene, facts, fill, length, other, say


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {"passage": _fields.text(raw, "passage"), "question": _fields.text(raw, "question"), "label": label}
    ]


def prompt(row: Row) -> str:
    question = row["question"].rstrip("?")
    return f"{row['passage']} {question[:1].upper()}{question[1:]}?\n"


def scene(rng: Random) -> Scene:
    """People who each took a thing."""
    size = length(rng, median=50, low=12, high=114)
    told = facts(rng, min(9, max(2, size // 9)))
    return told, " ".join(fill(rng, [say(f) for f in told], size))


def ask(rng: Random, told: list[Fact], passage: str) -> Row:
    """One fact of several is asked for; a false question takes the thing of another fact."""
    label = int(rng.random() < 0.5)
    asked = int(rng.random() * len(told))
    name, verb, thing = told[asked] if label else (*told[asked][:2], other(rng, told, asked)[2])
    return {"passage": passage, "question": f"is it true that {name} {verb} {thing}", "label": label}


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
