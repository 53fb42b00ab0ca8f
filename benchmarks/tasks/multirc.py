"""MultiRC: correctness of one answer to a question about a paragraph (Khashabi et al. 2018; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields
from benchmarks.tasks._language import Story, fill, length, pick, remarks
from benchmarks.tasks._usage import OPINIONS, Usage


def _row(paragraph: str, question: str, answer: Row, label: int, key: str) -> Row:
    # Some published answers are empty, and they count as answers.
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


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story with two remarks, each praise or blame, in at most `size` tokens."""
    kinds = usage.kinds(rng, 2)
    words = [usage.word(rng, OPINIONS, kind) for kind in kinds]
    if size is None:
        size = length(rng, median=38, low=12, high=92, spread=0.5)
    return kinds, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, kinds: tuple[int, int], paragraph: str, usage: Usage) -> Row:
    """Build a row whose answer claims that the first or the last remark is praise."""
    which = int(rng.random() < 0.5)
    answer = pick(rng, ("good", "great"))
    question = f"What was the {usage.order(rng, which)} impression?"
    return {"paragraph": paragraph, "question": question, "answer": answer, "label": kinds[which]}


TASK = Task(
    title="MultiRC",
    version=1,
    generator_version=2,
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
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.MULTIRC), _difficulty.MULTIRC),
)
