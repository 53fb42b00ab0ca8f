"""What a run costs in seconds: the costs of its parts, and the arithmetic from these to the whole run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor, log
from typing import Any

from benchmarks.config.spec import RunSpec


@dataclass(frozen=True)
class StepCost:
    """The cost of one training step.

    Attributes:
        seconds: its duration.
        examples: training examples in its batches.
        forward_equivalents: its work, as `RunCounters` counts it.
        tokens: tokens in its batches, with padding; 0 if unknown.
        parts: its batches ("zo", "fo", "full"); empty if unknown.
    """

    seconds: float
    examples: float
    forward_equivalents: float
    tokens: float = 0.0
    parts: tuple[str, ...] = ()

    def used(self, budget: str) -> float:
        """Return how much of a budget the step uses."""
        return 1.0 if budget == "steps" else getattr(self, budget)


@dataclass(frozen=True)
class Costs:
    """The costs of a kind of run.

    Attributes:
        setup: seconds that do not depend on the budget: data, model, encoding, and the end of the run.
        cycle: the steps of the method, in order; they repeat. Empty for a run without training.
        validation, test: seconds of one evaluation on the validation rows, and on the test rows.
        validation_tokens, test_tokens: tokens in the batches of these evaluations, with padding; 0 if
            unknown.
    """

    setup: float
    cycle: tuple[StepCost, ...]
    validation: float
    test: float
    validation_tokens: float = 0.0
    test_tokens: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, of which `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Costs":
        """Return the costs with these plain values.

        Raises:
            KeyError, TypeError: a value is missing, or one is unknown.
        """
        cycle = tuple(StepCost(**{**step, "parts": tuple(step["parts"])}) for step in values["cycle"])
        return cls(**{**values, "cycle": cycle})


@dataclass(frozen=True)
class Sizes:
    """The sizes of the batches of a run, which need its rows and its tokenizer but no weights.

    Attributes:
        examples: number of examples in the batch of each part ("zo", "fo", "full").
        tokens: mean number of tokens in it, with padding.
        validation_tokens, test_tokens: see `Costs`.
    """

    examples: dict[str, float]
    tokens: dict[str, float]
    validation_tokens: float
    test_tokens: float


def seconds_of(spec: RunSpec, costs: Costs, done: float = 0.0) -> float:
    """Return the expected seconds of a run.

    Args:
        spec: the run.
        costs: the costs of its parts.
        done: the fraction of its budget that a checkpoint holds.
    """
    steps, training = training_of(spec.budget, costs.cycle, done)
    left = spec.evaluations - floor(spec.evaluations * done)
    # A step that passes several evaluations is followed by one. A new run begins with an evaluation.
    evaluations = min(left, steps) + (not done)
    return costs.setup + training + evaluations * costs.validation + costs.test


def training_of(budget: tuple[str, float], cycle: Sequence[StepCost], done: float = 0.0) -> tuple[int, float]:
    """Return the number of steps until a budget is used, and their seconds.

    Args:
        budget: name and amount.
        cycle: the steps of the method, see `Costs`.
        done: the fraction of the budget that is already used.

    >>> training_of(("examples", 100), [StepCost(2.0, 16, 32)])
    (7, 14.0)
    """
    name, amount = budget
    left = amount * (1 - done)
    whole = sum(step.used(name) for step in cycle)
    if not whole or left <= 0:
        return 0, 0.0
    # A budget ends with the first step that reaches it, so the last cycle is followed step by step.
    cycles = max(0, floor(left / whole) - 1)
    steps, seconds = cycles * len(cycle), cycles * sum(step.seconds for step in cycle)
    used = cycles * whole
    while used < left * (1 - 1e-12):
        for step in cycle:
            used, seconds, steps = used + step.used(name), seconds + step.seconds, steps + 1
            if used >= left * (1 - 1e-12):
                break
    return steps, seconds


def closest(known: Sequence[Costs], sizes: Sizes) -> Costs:
    """Return the costs whose rows are the most similar in length, because part of a step's cost is fixed."""
    return min(known, key=lambda costs: abs(log(costs.validation_tokens / sizes.validation_tokens)))


def scaled(costs: Costs, sizes: Sizes) -> Costs:
    """Return the costs of the same kind of run on other rows, in proportion to their tokens.

    Args:
        costs: the costs on the rows of one task, with their tokens.
        sizes: the sizes of the batches of another task.
    """
    cycle = []
    for step in costs.cycle:
        tokens = sum(sizes.tokens[part] for part in step.parts)
        examples = sum(sizes.examples[part] for part in step.parts)
        work = step.forward_equivalents * examples / step.examples
        cycle.append(StepCost(step.seconds * tokens / step.tokens, examples, work, tokens, step.parts))
    return Costs(
        costs.setup,
        tuple(cycle),
        costs.validation * sizes.validation_tokens / costs.validation_tokens,
        costs.test * sizes.test_tokens / costs.test_tokens,
        sizes.validation_tokens,
        sizes.test_tokens,
    )
