"""In-context learning: solved training examples before the prompt of each evaluated example.

    prompt' = d_1 + SEPARATOR + ... + d_k + SEPARATOR + prompt,    d_i = strip(prompt_i + right answer_i)

As in the released code of MeZO (arXiv 2305.17333): the demonstrations of each evaluated example are a draw of
their own, without replacement and in random order; two newlines separate them; and a context longer than the
model's maximum loses its leftmost tokens, so that the first demonstrations are cut and the prompt is not. Our
choice: demonstrations come from the training rows of the run. All candidates of an example share one context,
which leaves room for the longest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from benchmarks.data.example import Example
from benchmarks.data.tokenize import Encoded, added, encode, own_ids
from benchmarks.errors import UserError
from benchmarks.models import LoadedModel
from benchmarks.tasks import Task

SEPARATOR = "\n\n"
# Examples that are tokenized together; all of their candidates are in memory at once.
CHUNK = 64


@dataclass(frozen=True)
class Demonstrated(Example):
    """An example after demonstrations.

    Attributes:
        shown: the demonstrations, in their order.
    """

    shown: tuple[str, ...] = ()

    @cached_property
    def prompt(self) -> str:
        """The demonstrations and the text before the answer."""
        return SEPARATOR.join((*self.shown, self.task.prompt(self.row)))


def text_of(example: Example) -> str:
    """Return a demonstration: a prompt with its right answer."""
    return (example.prompt + example.answer).strip()


def drawn(example: Example, pool: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """Return the demonstrations of one evaluated example, a function of the example and the seed.

    Args:
        example: the example.
        pool: all demonstrations.
        count: the number to draw; at most those in the pool.
        seed: `RunSpec.data_seed`.
    """
    return tuple(Random(f"demonstrations/{seed}/{example.key}").sample(pool, count))


def encode_after(
    demonstrations: Sequence[Example],
    examples: Sequence[Example],
    count: int,
    seed: int,
    task: Task,
    loaded: LoadedModel,
) -> tuple[list[Encoded], list[int]]:
    """Encode examples, each after `count` of the demonstrations.

    Args:
        demonstrations: the training examples to draw from.
        examples: the examples to evaluate.
        count: number of demonstrations before each example.
        seed: selects them.
        task: the task.
        loaded: a causal model and its tokenizer.

    Returns:
        The encoded examples, and for each the number of demonstrations that are in its context as a whole.

    Raises:
        UserError: there are fewer than `count` demonstrations, or `encode` rejects an example.
    """
    if len(demonstrations) < count:
        raise UserError(
            f"demonstrations={count}: task {task.name} has only {len(demonstrations)} training rows: use "
            "fewer demonstrations, or more train_rows"
        )
    # Equal rows may occur more than once, and each occurrence counts.
    pool = [text_of(example) for example in demonstrations]
    lengths = {text: len(tokens) for text, tokens in zip(pool, own_ids(loaded, pool), strict=True)}
    leading = len(added(loaded)[0])
    encoded: list[Encoded] = []
    whole: list[int] = []
    for start in range(0, len(examples), CHUNK):
        part = [
            Demonstrated(task, e.row, _reachable(drawn(e, pool, count, seed), lengths, loaded.max_length))
            for e in examples[start : start + CHUNK]
        ]
        found = encode(part, task, loaded, "lm")
        encoded += found
        whole += [
            _whole(e, list(tokens.prompt[leading:]), lengths, loaded)
            for e, tokens in zip(part, found, strict=True)
        ]
    return encoded, whole


def _reachable(shown: tuple[str, ...], lengths: Mapping[str, int], most: int) -> tuple[str, ...]:
    """Return the last demonstrations, without those that lie wholly before the last `most` tokens."""
    kept = 0
    for number, text in enumerate(reversed(shown), 1):
        kept += lengths[text]
        if kept >= most:
            return shown[-number:]
    return shown


def _whole(example: Demonstrated, context: list[int], lengths: Mapping[str, int], loaded: LoadedModel) -> int:
    """Return how many demonstrations are whole in the context of an example, without special tokens."""
    (everything,) = own_ids(loaded, [example.prompt])
    # A candidate may change the last tokens of a prompt, which then are not in the context.
    ends = range(len(everything), 0, -1)
    end = next(end for end in ends if everything[end - len(context) : end] == context)
    cut = end - len(context)
    if not cut:
        return len(example.shown)

    def fits(number: int) -> bool:
        shown = example.shown[len(example.shown) - number :]
        (tokens,) = own_ids(loaded, [Demonstrated(example.task, example.row, shown).prompt])
        return len(tokens) <= len(everything) - cut

    # The lengths omit the separators, so they only tell where to begin.
    number, before = len(example.shown), 0
    while number and before < cut:
        before += lengths[example.shown[len(example.shown) - number]]
        number -= 1
    while number and not fits(number):
        number -= 1
    while number < len(example.shown) and fits(number + 1):
        number += 1
    return number
