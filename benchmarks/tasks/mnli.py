"""MNLI: what a sentence says of another one, in ten genres (Williams et al., arXiv 1704.05426; GLUE).

Validation rows are the matched ones, of the genres trained on. The prompt for causal models is CB's, which
is our choice.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _nli
from benchmarks.tasks._language import fill, length, remarks


def generate(rng: Random) -> Row:
    """Two remarks among other sentences."""
    words = _nli.words(rng)
    size = length(rng, median=26, low=12, high=90, spread=0.5)
    return _nli.ask(rng, words, " ".join(fill(rng, remarks(rng, words), size)))


TASK = Task(
    title="MNLI",
    version=1,
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
