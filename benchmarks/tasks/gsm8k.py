"""GSM8K: grade-school math word problems with written solutions (Cobbe et al., arXiv 2110.14168).

The test split is used for validation. Calculator annotations are removed from the solutions. The lines of a
solution are joined by spaces, so that its only newline is the last character, which teaches greedy decoding
to stop (as in SQuAD).
"""

import re
from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _numbers, _words
from benchmarks.tasks._language import fill, length, pick


def from_hub(raw: Row) -> list[Row]:
    answer = " ".join(re.sub(r"<<[^<>]*>>", "", _fields.text(raw, "answer")).split())
    if _numbers.final_number(answer) is None:
        raise ValueError(f"field 'answer' must end in {_numbers.FINAL} and a number, not in {answer[-20:]!r}")
    return [{"question": _fields.text(raw, "question"), "answer": answer}]


def generate(rng: Random) -> Row:
    """Generate a problem with one or two steps (an addition or subtraction, then a doubling) and fillers."""
    name, thing = pick(rng, _words.NAMES), pick(rng, _words.THINGS)
    first, change, more = 3 + int(rng.random() * 17), 1 + int(rng.random() * 9), rng.random() < 0.5
    change = change if more else min(change, first - 1)
    left = first + change if more else first - change
    facts = [f"{name} had {first} {thing}.", f"{name} {'found' if more else 'lost'} {change} {thing}."]
    steps = [f"{first} {'+' if more else '-'} {change} = {left}."]
    if rng.random() < 0.5:
        facts.append(f"Then {name} bought as many as were left.")
        steps.append(f"{left} * 2 = {left * 2}.")
        left *= 2
    question = f"How many {thing} does {name} have?"
    story = fill(rng, facts, length(rng, median=30, low=16, high=60))
    return {"question": " ".join([*story, question]), "answer": f"{' '.join(steps)} {_numbers.FINAL} {left}"}


TASK = Task(
    title="GSM8K",
    version=1,
    generator_version=2,
    hub=Hub("openai/gsm8k", "main", validation="test"),
    prompt=lambda row: f"Question: {row['question']}\nAnswer:",
    candidates=lambda row: [],
    gold=lambda row: [_numbers.final_number(row["answer"])],
    inputs=lambda row: (row["question"],),
    answer=lambda row: f" {row['answer']}\n",
    from_hub=from_hub,
    from_file=from_hub,
    generate=generate,
    metric="exact_match",
    loss="teacher_forcing",
    max_new_tokens=200,
)
