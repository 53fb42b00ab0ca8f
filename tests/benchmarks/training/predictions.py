"""Helpers: peak memory predicted from the heaviest batches of a row."""

from benchmarks.config.spec import from_dict
from benchmarks.data.tokenize import Encoded
from benchmarks.memory import estimator

TOKEN = 10


def predicted(row):
    """Predict the peak of a row's run from its heaviest batches, on a CPU."""
    batches = {
        part: [example(*counts) for counts in batch] for part, batch in row["heaviest_batches"].items()
    }
    return estimator.predict(from_dict(row["config"]), batches, "cpu")


def example(prompt, candidates, answer):
    """Build an example with these token counts; the token ids do not matter."""
    tokens = [(TOKEN,) * n for n in (prompt, answer, *candidates)]
    return Encoded(tokens[0], tuple(tokens[2:]), tokens[1], 0, prompt + max([answer, *candidates]))
