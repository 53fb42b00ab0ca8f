"""COPA: the more plausible cause or effect of a premise (Roemmele et al. 2011; SuperGLUE).

The prompt follows the released code of MeZO (arXiv 2305.17333): the first word of a choice is in lower case,
unless it is "I".
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields
from benchmarks.tasks._language import Story, fill, length, remarks
from benchmarks.tasks._usage import OPINIONS, Usage

CONJUNCTIONS = {"cause": "because", "effect": "so"}
# At this position in `OPINIONS`.
PRAISE = 1


def from_raw(raw: Row) -> list[Row]:
    question = _fields.text(raw, "question")
    if question not in CONJUNCTIONS:
        raise ValueError(f"field 'question' must be cause or effect, not {question!r:.40}")
    return [
        {key: _fields.text(raw, key) for key in ("premise", "choice1", "choice2")}
        | {"question": question, "label": _fields.index(raw, 2)}
    ]


def prompt(row: Row) -> str:
    return f"{row['premise'].removesuffix('.')} {CONJUNCTIONS[row['question']]}"


def continued(choice: str) -> str:
    """Return a choice as it continues a sentence, after a space.

    >>> continued("The sun was rising."), continued("I was late.")
    (' the sun was rising.', ' I was late.')
    """
    first, space, rest = choice.partition(" ")
    return f" {first if first == 'I' else first.lower()}{space}{rest}"


def candidates(row: Row) -> list[str]:
    return [continued(row["choice1"]), continued(row["choice2"])]


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story with two remarks, one of which is praise and the other blame, in at most `size` tokens."""
    first = int(rng.random() < 0.5)
    kinds = (first, 1 - first)
    words = [usage.word(rng, OPINIONS, kind) for kind in kinds]
    if size is None:
        size = length(rng, median=26, low=12, high=60)
    return kinds, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, kinds: tuple[int, int], premise: str, usage: Usage) -> Row:
    """Build a row that asks which of the two remarks made a good impression, in random order."""
    order = rng.sample((0, 1), 2)
    choices = [f"The {usage.order(rng, which)} impression was good." for which in order]
    return {
        "premise": premise,
        "choice1": choices[0],
        "choice2": choices[1],
        "question": "effect",
        "label": next(i for i, which in enumerate(order) if kinds[which] == PRAISE),
    }


TASK = Task(
    title="COPA",
    version=1,
    hub=Hub("aps/super_glue", "copa"),
    prompt=prompt,
    candidates=candidates,
    gold=lambda row: row["label"],
    answer=lambda row: candidates(row)[row["label"]],
    inputs=lambda row: (prompt(row), f"{row['choice1']} {row['choice2']}"),
    from_hub=from_raw,
    from_file=from_raw,
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.COPA), _difficulty.COPA),
    loss="teacher_forcing",
)
