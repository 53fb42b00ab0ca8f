"""SNLI: natural-language inference between image captions (Bowman et al., arXiv 1508.05326).

Causal models use CB's prompt, which is our choice, because the papers run this task only on RoBERTa.
"""

from random import Random

from benchmarks.tasks import Hub, Row, Task, _nli
from benchmarks.tasks._language import fill, length, remarks


def generate(rng: Random) -> Row:
    """Generate a row whose premise has two remarks and few other words, because captions are short."""
    words = _nli.words(rng)
    size = length(rng, median=14, low=10, high=40)
    return _nli.ask(rng, words, " ".join(fill(rng, remarks(rng, words), size)))


TASK = Task(
    title="SNLI",
    version=1,
    generator_version=2,
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
