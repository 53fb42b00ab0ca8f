"""ReCoRD: the entity missing from a query about a passage (Zhang et al., arXiv 1810.12885; SuperGLUE)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _difficulty, _fields, _words
from benchmarks.tasks._language import ORDER, Story, fill, length, pick
from benchmarks.tasks._usage import Usage

PLACEHOLDER = "@placeholder"


def _rows(passage: str, entities: list[str], query: str, answers: list[str]) -> list[Row]:
    if not entities:
        # Without candidates there is nothing to rank.
        return []
    if PLACEHOLDER not in query:
        raise ValueError(f"field 'query' has no {PLACEHOLDER}: {query!r:.60}")
    if not set(answers) & set(entities):
        raise ValueError(f"no answer is among the entities (answers: {', '.join(answers) or 'none'})")
    return [
        {
            "passage": passage.replace("@highlight\n", "- "),
            "query": query,
            "entities": sorted(set(entities)),
            "answers": sorted(set(answers)),
        }
    ]


def from_hub(raw: Row) -> list[Row]:
    entities, answers = (_fields.get(raw, key, list) for key in ("entities", "answers"))
    return _rows(_fields.text(raw, "passage"), entities, _fields.text(raw, "query"), answers)


def from_file(raw: Row) -> list[Row]:
    passage = _fields.get(raw, "passage", dict)
    # Offsets refer to the distributed text, so entities are cut out before whitespace is removed.
    text = _fields.get(passage, "text", str)
    spans = _fields.get(passage, "entities", list)
    entities = [text[_fields.get(s, "start", int) : _fields.get(s, "end", int) + 1] for s in spans]
    rows: list[Row] = []
    for qa in _fields.get(raw, "qas", list):
        answers = [_fields.text(a, "text") for a in _fields.get(qa, "answers", list)]
        rows += _rows(text.strip(), entities, _fields.text(qa, "query"), answers)
    return rows


def candidates(row: Row) -> list[str]:
    return [" " + row["query"].replace(PLACEHOLDER, entity) for entity in row["entities"]]


def gold(row: Row) -> list[int]:
    return [i for i, entity in enumerate(row["entities"]) if entity in row["answers"]]


def scene(rng: Random, usage: Usage, size: int | None = None) -> Story:
    """Draw a story that names two guests, followed by two highlights that name neither.

    The story has at most `size` tokens, but always both sentences that name a guest.
    """
    names = tuple(rng.sample(_words.NAMES, 2))
    facts = [
        f"{order} {name} {pick(rng, _words.TAKES)} {pick(rng, _words.THINGS)}."
        for order, name in zip(ORDER, names, strict=True)
    ]
    highlights = (f"\n- {text}" for text in rng.sample(_words.FILLERS, 2))
    if size is None:
        size = length(rng, median=42, low=12, high=92, spread=0.5)
    return names, "".join([" ".join(fill(rng, facts, size)), *highlights])


def ask(rng: Random, names: tuple[str, str], passage: str, usage: Usage) -> Row:
    """Build a row that asks who came first or last."""
    which = int(rng.random() < 0.5)
    return {
        "passage": passage,
        "query": f"it was {usage.order(rng, which)} {PLACEHOLDER}",
        "entities": sorted(names),
        "answers": [names[which]],
    }


TASK = Task(
    title="ReCoRD",
    version=1,
    generator_version=2,
    hub=Hub("aps/super_glue", "record"),
    prompt=lambda row: f"{row['passage']}\n-",
    candidates=candidates,
    gold=gold,
    inputs=lambda row: (row["passage"], row["query"]),
    answer=lambda row: candidates(row)[gold(row)[0]],
    from_hub=from_hub,
    from_file=from_file,
    generate=lambda rng: ask(rng, *scene(rng, _difficulty.RECORD), _difficulty.RECORD),
    loss="teacher_forcing",
)
