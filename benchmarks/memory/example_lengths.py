"""The training examples of a task for a model whose tokenizer may not be at hand."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import models, tasks
from benchmarks.config.spec import RunSpec
from benchmarks.data.example import Example
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.memory import estimator as memory_model
from benchmarks.memory.dry_step import WORD
from benchmarks.models import LoadedModel
from benchmarks.tasks import Task

STAND_IN = "smollm2-135m"
# Counted on 32 to 300 published training rows of each of the nine tasks, beside GPT-2's byte pairs and a BOS
# token. The longest row of a task, on which its peaks rest: 0.98 to 1.09.
STAND_IN_OFF = "its lengths are 0.92 to 1.07 of those by OPT's and RoBERTa's byte pairs, medians task by task"


@dataclass(frozen=True)
class Examples:
    """Encoded training examples, and where their lengths come from.

    Attributes:
        rows: their tokens may be another tokenizer's: only their lengths count.
        source: "builtin", "hub", "folder" or "file".
        tokenizer: whose tokens are counted; None for lengths out of a file.
        stand_in: whether that is another one than the model's own.
        cut: how many lengths out of a file are more than the model takes, and count as what it takes.
    """

    rows: Sequence[Encoded]
    source: str
    tokenizer: str | None = None
    stand_in: bool = False
    cut: int = 0


def of_file(spec: RunSpec, file: str) -> Examples:
    """Examples of lengths given one a line.

    Candidates are taken to be one token each, and answers that are trained on as long as the task generates.

    Raises:
        UserError: no such file, or a line that is no length.
    """
    limit = _max_length(spec)
    lengths = []
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--length-file {file} cannot be read: {getattr(error, 'strerror', error)}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            if not line.strip().isdecimal() or int(line) < 2:
                raise UserError(
                    f"{file}, line {number}: a length is a whole number of tokens from 2, not {line!r}"
                )
            lengths.append(int(line))
    if not lengths:
        raise UserError(f"--length-file {file} is empty: give one length in tokens a line")
    task = tasks.load(spec.task)
    kept = [min(n, limit) for n in lengths]
    if spec.head == "classification":
        rows = memory_model.synthetic(kept, candidates=0)
    elif task.loss == "teacher_forcing":
        rows = [memory_model.synthetic([n], answer=min(task.max_new_tokens, n - 1))[0] for n in kept]
    else:
        rows = memory_model.synthetic(kept)
    return Examples(rows, "file", cut=sum(n > limit for n in lengths))


def of_task(spec: RunSpec, place: str, tokenizer: str | None) -> Examples:
    """A task's training rows under the model's tokenizer, or one that stands in for it.

    Args:
        spec: model, task, head, and which rows are drawn.
        place: "builtin", "hub" or a folder.
        tokenizer: of this model; None: the model's own where it is on this machine, else `STAND_IN`'s.

    Raises:
        UserError: the task has no rows there, or no tokenizer can be had.
    """
    task = tasks.load(spec.task)
    try:
        splits = load_splits(
            spec.task, place, train=spec.train_rows, validation=spec.validation_rows, test=spec.test_rows,
            seed=spec.data_seed, shots=spec.shots,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{error}, or lengths with --length-file FILE") from None
    name = tokenizer or (spec.model if _is_at_hand(spec.model) else STAND_IN)
    try:
        loaded = models.load_tokenizer(name)
    except UserError as error:
        raise UserError(f"{error}; or give another --tokenizer, or lengths with --length-file FILE") from None
    if name == spec.model:
        return Examples(encode(splits.train, task, loaded, spec.head), splits.source, name)
    return Examples(_encode_as(spec, splits.train, task, loaded), splits.source, name, stand_in=True)


def _encode_as(spec: RunSpec, examples: Sequence[Example], task: Task, loaded: LoadedModel) -> list[Encoded]:
    """Rows under another model's tokenizer in the form of the spec's own model."""
    family = _family(spec)
    causal = dataclasses.replace(loaded.family, masked=False)
    if family.masked and task.cloze:
        # All but the mask, which is added below.
        task = dataclasses.replace(task, prompt=partial(task.cloze, mask=""))
    examples = [Example(task, example.row) for example in examples]
    encoded = encode(
        examples, task, dataclasses.replace(loaded, family=causal, max_length=_max_length(spec)), spec.head
    )
    if not family.masked or spec.head == "classification":
        return encoded
    # A mask takes the place of the candidate, each of which is one token of such a model's own tokenizer.
    word = WORD
    return [
        dataclasses.replace(
            e, prompt=(*e.prompt[1 - _max_length(spec) :], word), candidates=((word,),) * len(e.candidates),
            length=min(len(e.prompt) + 1, _max_length(spec)),
        )
        for e in encoded
    ]  # fmt: skip


def _family(spec: RunSpec) -> models.Family:
    """That of the spec's model; `UserError` where it cannot be trained on the task."""
    family = models.family_of(models.shape_of(spec.model).model_type, spec.model)
    task = tasks.load(spec.task)
    if family.masked and spec.head == "lm" and task.loss == "teacher_forcing":
        raise UserError(f"task {task.title} needs a causal model: {spec.model} is a masked LM")
    return family


def _max_length(spec: RunSpec) -> int:
    return min(models.MAX_LENGTH, _family(spec).positions(models.shape_of(spec.model)))


def _is_at_hand(name: str) -> bool:
    """Whether a model's tokenizer can be read without a network."""
    from huggingface_hub import try_to_load_from_cache

    if name in models.builtin() or Path(name).expanduser().is_dir():
        return True
    return all(
        isinstance(try_to_load_from_cache(name, f), str) for f in ("config.json", "tokenizer_config.json")
    )
