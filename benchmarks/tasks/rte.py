"""RTE: whether a premise entails a hypothesis (Dagan et al. 2005; SuperGLUE, arXiv 1905.00537)."""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import ORDER, Story, fill, length, pick, remarks, two_kinds


def _row(raw: Row, label: int) -> list[Row]:
    return [
        {
            "premise": _fields.text(raw, "premise"),
            "hypothesis": _fields.text(raw, "hypothesis"),
            "label": label,
        }
    ]


def scene(rng: Random, bare: bool = False) -> Story:
    """Draw a story with two remarks, each praise or blame; without other sentences if `bare`."""
    words = tuple(pick(rng, (_words.BLAME, _words.PRAISE)[kind]) for kind in two_kinds(rng, 2))
    size = 0 if bare else length(rng, median=28, low=12, high=90, spread=0.5)
    return words, " ".join(fill(rng, remarks(rng, words), size))


def ask(rng: Random, words: tuple[str, str], premise: str) -> Row:
    """Build a row that asks whether the first or the last remark is praise (label 0, entailment)."""
    which = int(rng.random() < 0.5)
    hypothesis = f"the {ORDER[which]} impression was good"
    return {"premise": premise, "hypothesis": hypothesis, "label": int(words[which] in _words.BLAME)}


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
