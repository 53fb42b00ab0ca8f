"""RTE: whether a premise entails a hypothesis (Dagan et al. 2005; SuperGLUE, arXiv 1905.00537)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import Fact, Scene, fill, length, other, pick, say


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def scene(rng: Random) -> Scene:
    """Events between people."""
    size = length(rng, median=28, low=10, high=90, spread=0.5)
    count = min(2 + int(rng.random() * 3), size // 4)
    names = rng.sample(_words.NAMES, 2 * count)
    events = [(names[i], pick(rng, _words.MEETS), names[i + 1]) for i in range(0, 2 * count, 2)]
    return events, " ".join(fill(rng, [say(e) for e in events], size))


def ask(rng: Random, events: list[Fact], premise: str) -> Row:
    """Who did what to whom: a false hypothesis swaps the roles or takes the object of another event."""
    label = int(rng.random() < 0.5)
    asked = int(rng.random() * len(events))
    agent, verb, patient = events[asked]
    if label == 1 and rng.random() < 0.5:
        agent, patient = patient, agent
    elif label == 1:
        patient = other(rng, events, asked)[2]
    return {"premise": premise, "hypothesis": f"{agent} {verb} {patient}", "label": label}


TASK = Task(
    title="RTE",
    version=1,
    hub=Hub("aps/super_glue", "rte"),
    prompt=lambda row: f'{row["premise"]}\nDoes this mean that "{row["hypothesis"]}" is true? Yes or No?\n',
    candidates=lambda row: ["Yes", "No"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["premise"], row["hypothesis"]),
    from_hub=lambda raw: _row(raw, _fields.index(raw, 2)),
    from_file=lambda raw: _row(raw, _fields.named(raw, ("entailment", "not_entailment"))),
    generate=lambda rng: ask(rng, *scene(rng)),
)
