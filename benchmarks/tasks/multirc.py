"""MultiRC: whether one answer to a question on a paragraph is right (Khashabi et al. 2018; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields
from benchmarks.tasks._language import Fact, Scene, facts, fill, length, other, say


def _row(paragraph: str, question: str, answer: Row, label: int, key: str) -> Row:
    # A few of the published answers are empty, and count.
    text = _fields.get(answer, key, str).strip()
    return {"paragraph": paragraph, "question": question, "answer": text, "label": label}


def from_hub(raw: Row) -> list[Row]:
    texts = _fields.text(raw, "paragraph"), _fields.text(raw, "question")
    return [_row(*texts, raw, _fields.index(raw, 2), "answer")]


def from_file(raw: Row) -> list[Row]:
    passage = _fields.get(raw, "passage", dict)
    return [
        _row(_fields.text(passage, "text"), _fields.text(q, "question"), a, _fields.index(a, 2), "text")
        for q in _fields.get(passage, "questions", list)
        for a in _fields.get(q, "answers", list)
    ]


def scene(rng: Random) -> Scene:
    """People who each took a thing."""
    size = length(rng, median=40, low=12, high=96, spread=0.5)
    told = facts(rng, min(8, max(2, size // 8)))
    return told, " ".join(fill(rng, [say(f) for f in told], size))


def ask(rng: Random, told: list[Fact], paragraph: str) -> Row:
    """What one of several people took; a wrong answer is what another took."""
    label = int(rng.random() < 0.5)
    asked = int(rng.random() * len(told))
    name, verb, thing = told[asked]
    answer = thing if label else other(rng, told, asked)[2]
    question = f"What was it that {name} {verb}?"
    return {"paragraph": paragraph, "question": question, "answer": answer, "label": label}


TASK = Task(
    title="MultiRC",
    version=1,
    hub=Hub("aps/super_glue", "multirc"),
    prompt=lambda row: (
        f"{row['paragraph']}\nQuestion: {row['question']}\n"
        f'I found this answer "{row["answer"]}". Is that correct? Yes or No?\n'
    ),
    candidates=lambda row: ["No", "Yes"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["paragraph"], f"{row['question']} {row['answer']}"),
    from_hub=from_hub,
    from_file=from_file,
    generate=lambda rng: ask(rng, *scene(rng)),
)
