"""A generous bound on the seconds of a run, from the number of operations of its model."""

from benchmarks.config.methods import method_class
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.sweep.disk import trained_bytes

# Operations per second that every computer exceeds on all but the smallest models.
RATE = 1e10
# Tokens of an example, evaluations of a closure in a step, and candidates of an example: more than usual.
TOKENS, EVALUATIONS, CANDIDATES = 256, 4, 4
# An example in a backward pass costs two more forward passes, and one more to recompute its activations.
BACKWARD = 4
# Seconds to load and encode what a run needs.
SETUP = 2.0


def most_seconds(spec: RunSpec) -> float:
    """Return more seconds than a run is expected to take; an order of magnitude more is common.

    Raises:
        UserError: the configuration of the model cannot be read.
    """
    name, amount = spec.budget
    evaluated = (spec.evaluations + 1) * spec.validation_rows + spec.test_rows
    examples, seconds = evaluated * CANDIDATES, SETUP
    if name == "seconds":
        seconds += amount
    elif name == "steps":
        examples += amount * _examples_per_step(spec) * BACKWARD
    else:
        # The last step may exceed the budget.
        factor = BACKWARD * EVALUATIONS if name == "examples" else 1
        examples += amount * factor + _examples_per_step(spec) * BACKWARD
    parameters = trained_bytes(spec.model, "float32", spec.head, "all", spec.trust_remote_code) / 4
    return seconds + examples * TOKENS * 2 * parameters / RATE


def _examples_per_step(spec: RunSpec) -> int:
    if spec.method == ZERO_SHOT:
        return 0
    batches = sum(spec.settings.get(f"{part}_batch_size", 0) for part in ("zo", "fo"))
    full = spec.train_rows if "full_loss" in method_class(spec.method).closures else 0
    return EVALUATIONS * (batches + full)
