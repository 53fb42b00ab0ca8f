"""DROP: questions about a passage that need counting, comparing, or selecting (Dua et al., arXiv 1903.00161).

As in MeZO (arXiv 2305.17333), each accepted span is a gold answer, and the score is the token F1 of SQuAD.
The official metric, which aligns the spans of an answer, is not used.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields
from benchmarks.tasks.squad import ask, scene


def _row(raw: Row, spans: list) -> list[Row]:
    if not spans or not all(isinstance(span, str) and span.strip() for span in spans):
        raise ValueError("field 'answers' must contain at least one span and no empty span")
    texts = {key: _fields.text(raw, key) for key in ("passage", "question")}
    return [texts | {"answers": list(dict.fromkeys(span.strip() for span in spans))}]


def from_hub(raw: Row) -> list[Row]:
    return _row(raw, _fields.get(_fields.get(raw, "answers_spans", dict), "spans", list))


def from_file(raw: Row) -> list[Row]:
    """Convert a line with "answers", a list of answers that are lists of spans, or a line as on the hub."""
    if isinstance(raw, dict) and "answers_spans" in raw:
        return from_hub(raw)
    answers = _fields.get(raw, "answers", list)
    if not all(isinstance(answer, list) for answer in answers):
        raise ValueError("field 'answers' must be a list of answers, each of which is a list of spans")
    return _row(raw, [span for answer in answers for span in answer])


def generate(rng: Random) -> Row:
    """Draw a row of SQuAD's generator; the forms differ."""
    row = ask(rng, *scene(rng, _difficulty.SQUAD), _difficulty.SQUAD)
    return {"passage": row["context"], "question": row["question"], "answers": row["answers"]}


TASK = Task(
    title="DROP",
    version=1,
    hub=Hub("ucinlp/drop", None),
    prompt=lambda row: f"Passage: {row['passage']}\nQuestion: {row['question']}\nAnswer:",
    candidates=lambda row: [],
    gold=lambda row: row["answers"],
    inputs=lambda row: (row["passage"], row["question"]),
    answer=lambda row: f" {row['answers'][0]}\n",
    from_hub=from_hub,
    from_file=from_file,
    generate=generate,
    metric="f1",
    loss="teacher_forcing",
)
