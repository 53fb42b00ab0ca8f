"""Helpers: runs of a few steps on nano-opt, for the tests of training."""

from benchmarks import models, tasks
from benchmarks.config.methods import method_class
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.data.tokenize import encode
from benchmarks.training import run as train

STEPS, ROWS, ZO, FO = 4, 24, 3, 2
TINY = {
    "model": "nano-opt", "task": "sst2", "train_rows": ROWS, "validation_rows": 8, "test_rows": 12,
    "steps": STEPS, "evaluations": 2, "eval_batch_size": 8, "lr": 1e-4,
}  # fmt: skip
# (forwards, backwards, examples in forward passes) of a whole run.
COUNTS = {
    "addax": (3 * STEPS, STEPS, STEPS * (2 * ZO + FO)),
    "mezo": (2 * STEPS, 0, STEPS * 2 * ZO),
    "ip-sgd": (STEPS, STEPS, STEPS * FO),
    "sgd": (STEPS, STEPS, STEPS * FO),
    "adam": (STEPS, STEPS, STEPS * FO),
    # Every second step is an anchor step on the whole training set.
    "mezo-svrg": (STEPS // 2 * (2 + 4), 0, STEPS // 2 * (2 * ROWS + 4 * ZO)),
}


def tiny(method, **changes):
    """Return the spec of a tiny run of a method."""
    closures = () if method == ZERO_SHOT else method_class(method).closures
    sizes = {f"{part}_batch_size": n for part, n in (("zo", ZO), ("fo", FO)) if f"{part}_loss" in closures}
    given = {"method": method, **TINY, **sizes, **changes}
    if method == ZERO_SHOT:
        # Zero-shot takes no steps.
        steps = ("lr", "steps", "evaluations", "schedule")
        given = {name: value for name, value in given.items() if name not in steps}
    return from_dict(given)


def lengths_of(spec, split):
    """Return the lengths in tokens of the rows of a split."""
    examples = getattr(train.load(spec, None), split)
    encoded = encode(examples, tasks.load(spec.task), models.load_tokenizer(spec.model), spec.head)
    return [e.length for e in encoded]


def row_of(spec, **options):
    """Run a spec and return its row."""
    return train.run(spec, train.load(spec, None), suite="test", **options)
