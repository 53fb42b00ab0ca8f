"""SNLI: what a caption says of another one (Bowman et al., arXiv 1508.05326).

The prompt for causal models is CB's, which is our choice: the papers have this task on RoBERTa alone.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _nli
from benchmarks.tasks._language import fill, length, remarks


def generate(rng: Random) -> Row:
    """Two remarks and little else: captions are short."""
    words = _nli.words(rng)
    size = length(rng, median=14, low=10, high=40)
    return _nli.ask(rng, words, " ".join(fill(rng, remarks(rng, words), size)))


TASK = Task(
    title="SNLI",
    version=1,
    hub=Hub("stanfordnlp/snli", None),
    prompt=_nli.prompt,
    cloze=_nli.cloze,
    candidates=lambda row: _nli.WORDS,
    gold=lambda row: row["label"],
    inputs=lambda row: (row["premise"], row["hypothesis"]),
    from_hub=_nli.rows,
    from_file=_nli.rows,
    generate=generate,
)
