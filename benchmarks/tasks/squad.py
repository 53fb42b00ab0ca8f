"""SQuAD v1.1: a span of a paragraph that answers a question (Rajpurkar et al., arXiv 1606.05250)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import Fact, Scene, facts, fill, length, pick, say


def from_hub(raw: Row) -> list[Row]:
    texts = {key: _fields.text(raw, key) for key in ("title", "context", "question")}
    answers = list(_fields.get(_fields.get(raw, "answers", dict), "text", list))
    if not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise ValueError("field 'answers' should hold at least one text, and no empty one")
    return [texts | {"answers": answers}]


def scene(rng: Random) -> Scene:
    """People who each took a thing; some things have a colour."""
    size = length(rng, median=45, low=12, high=101)
    told = facts(rng, min(8, max(2, size // 8)))
    colours = rng.sample(_words.COLOURS, len(told))
    told = [
        (name, verb, f"{colour} {thing}" if rng.random() < 0.3 else thing)
        for (name, verb, thing), colour in zip(told, colours, strict=True)
    ]
    return told, " ".join(fill(rng, [say(f) for f in told], size))


def ask(rng: Random, told: list[Fact], context: str) -> Row:
    """What one of them took."""
    name, verb, answer = pick(rng, told)
    question = f"What was it that {name} {verb}?"
    return {"title": pick(rng, _words.TITLES), "context": context, "question": question, "answers": [answer]}


TASK = Task(
    title="SQuAD",
    version=1,
    hub=Hub("rajpurkar/squad", None),
    prompt=lambda row: (
        f"Title: {row['title']}\nContext: {row['context']}\nQuestion: {row['question']}\nAnswer:"
    ),
    candidates=lambda row: [],
    gold=lambda row: row["answers"],
    inputs=lambda row: (row["context"], row["question"]),
    answer=lambda row: f" {row['answers'][0]}\n",
    from_hub=from_hub,
    from_file=from_hub,
    generate=lambda rng: ask(rng, *scene(rng)),
    metric="f1",
    loss="teacher_forcing",
)
