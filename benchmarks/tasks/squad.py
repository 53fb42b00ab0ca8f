"""SQuAD v1.1: questions answered by a span of a paragraph (Rajpurkar et al., arXiv 1606.05250)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields, _words
from benchmarks.tasks._language import ORDER, Story, fill, length, pick
from benchmarks.tasks._usage import Usage


def from_hub(raw: Row) -> list[Row]:
    if raw.get("is_impossible") is True:
        # A question of SQuAD 2 that the context does not answer.
        return []
    texts = {key: _fields.text(raw, key) for key in ("title", "context", "question")}
    answers = list(_fields.get(_fields.get(raw, "answers", dict), "text", list))
    if not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise ValueError(
            "field 'answers' must contain at least one text and no empty text: leave out unanswered questions"
        )
    return [texts | {"answers": answers}]


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story in which two people each take a thing, in at most `size` tokens."""
    things = tuple(rng.sample(_words.THINGS, 2))
    facts = [
        f"{pick(rng, _words.NAMES)} {pick(rng, _words.TAKES)} the {order} {thing}."
        for order, thing in zip(ORDER, things, strict=True)
    ]
    if size is None:
        size = length(rng, median=45, low=12, high=100)
    return things, " ".join(fill(rng, facts, size))


def ask(rng: Random, things: tuple[str, str], context: str, usage: Usage) -> Row:
    """Build a row that asks which thing came first or last."""
    which = int(rng.random() < 0.5)
    question = f"What was it {usage.order(rng, which)}?"
    title = pick(rng, _words.TITLES)
    return {"title": title, "context": context, "question": question, "answers": [things[which]]}


TASK = Task(
    title="SQuAD",
    version=1,
    generator_version=2,
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
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.SQUAD), _difficulty.SQUAD),
    metric="f1",
    loss="teacher_forcing",
)
