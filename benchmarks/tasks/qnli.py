"""QNLI: whether a sentence answers a question (derived from SQuAD; GLUE, arXiv 1804.07461).

MeZO-SVRG's paper trains a classification head on it. The prompt is our choice and is modeled on MultiRC's.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _fields, _words
from benchmarks.tasks._language import ORDER, fill, length, pick, remarks
from benchmarks.tasks._usage import FAMILIAR


def from_hub(raw: Row) -> list[Row]:
    texts = {key: _fields.text(raw, key) for key in ("question", "sentence")}
    return [texts | {"label": _fields.index(raw, 2)}]


def generate(rng: Random) -> Row:
    """Generate a row about the first or the last remark: label 0 (entailment) for an opinion, 1 for color."""
    kinds = FAMILIAR.kinds(rng, 2)
    words = [pick(rng, ((*_words.PRAISE, *_words.BLAME), _words.COLORS)[kind]) for kind in kinds]
    which = int(rng.random() < 0.5)
    size = length(rng, median=28, low=12, high=80, spread=0.5)
    return {
        "question": f"What was the {ORDER[which]} impression?",
        "sentence": " ".join(fill(rng, remarks(rng, words), size)),
        "label": kinds[which],
    }


TASK = Task(
    title="QNLI",
    version=1,
    generator_version=2,
    hub=Hub("nyu-mll/glue", "qnli"),
    prompt=lambda row: (
        f'Question: {row["question"]}\nI found this answer "{row["sentence"]}". Is that correct? Yes or No?\n'
    ),
    candidates=lambda row: ["Yes", "No"],
    gold=lambda row: row["label"],
    inputs=lambda row: (row["question"], row["sentence"]),
    from_hub=from_hub,
    from_file=from_hub,
    generate=generate,
)
