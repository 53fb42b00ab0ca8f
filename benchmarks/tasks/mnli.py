"""MNLI: natural-language inference across ten genres (Williams et al., arXiv 1704.05426; GLUE).

The validation rows are the matched ones, which have the same genres as the training rows. Causal models use
CB's prompt, which is our choice.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _nli
from benchmarks.tasks._language import fill, length, remarks


def generate(rng: Random) -> Row:
    """Generate a row whose premise has two remarks among other sentences."""
    words = _nli.words(rng)
    size = length(rng, median=26, low=12, high=90, spread=0.5)
    return _nli.ask(rng, words, " ".join(fill(rng, remarks(rng, words), size)))


TASK = Task(
    title="MNLI",
    version=1,
    generator_version=2,
    hub=Hub("nyu-mll/glue", "mnli", validation="validation_matched"),
    prompt=_nli.prompt,
    cloze=_nli.cloze,
    candidates=lambda row: _nli.WORDS,
    gold=lambda row: row["label"],
    inputs=lambda row: (row["premise"], row["hypothesis"]),
    from_hub=_nli.rows,
    from_file=_nli.rows,
    generate=generate,
)
