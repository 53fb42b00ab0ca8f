"""Training examples of a task for a model whose tokenizer may not be available offline."""

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
from benchmarks.memory.dry_step import WORD, synthetic
from benchmarks.models import LoadedModel
from benchmarks.tasks import Task

FALLBACK_TOKENIZER = "smollm2-135m"
# Measured on 32 to 300 published training rows of each of the nine tasks, against GPT-2's byte pairs and a
# BOS token. The ratio for the longest row of a task, which determines its peaks, is 0.98 to 1.09.
FALLBACK_ACCURACY = (
    "its lengths are 0.92 to 1.07 of those by OPT's and RoBERTa's byte pairs, medians task by task"
)


@dataclass(frozen=True)
class Examples:
    """Encoded training examples, and where their lengths come from.

    Attributes:
        rows: the examples; their tokens may be another tokenizer's, only the lengths count.
        source: "builtin", "hub", "folder", or "file".
        tokenizer: the model whose tokenizer counts the tokens; None for lengths from a file.
        is_fallback: whether that tokenizer is not the model's.
        cut: number of lengths from a file that exceed the model's maximum and count as the maximum.
    """

    rows: Sequence[Encoded]
    source: str
    tokenizer: str | None = None
    is_fallback: bool = False
    cut: int = 0


def of_file(spec: RunSpec, file: str) -> Examples:
    """Read examples from a file with one length per line.

    Candidates count as one token each, and trained answers as the task's maximum.

    Raises:
        UserError: the file cannot be read, or a line is not a length.
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
        rows = synthetic(kept, candidates=0)
    elif task.loss == "teacher_forcing":
        rows = [synthetic([n], answer=min(task.max_new_tokens, n - 1))[0] for n in kept]
    else:
        rows = synthetic(kept)
    return Examples(rows, "file", cut=sum(n > limit for n in lengths))


def of_task(spec: RunSpec, place: str, tokenizer: str | None) -> Examples:
    """Encode a task's training rows with the model's tokenizer or with the fallback.

    Args:
        spec: model, task, head, and which rows are drawn.
        place: "builtin", "hub" or a folder.
        tokenizer: a model's name; None: the spec's model if its tokenizer is on this machine, otherwise
            `FALLBACK_TOKENIZER`.

    Raises:
        UserError: the task has no rows there, or no tokenizer is available.
    """
    task = tasks.load(spec.task)
    try:
        splits = load_splits(
            spec.task, place, train=spec.train_rows, validation=spec.validation_rows, test=spec.test_rows,
            seed=spec.data_seed, shots=spec.shots,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{error}, or lengths with --length-file FILE") from None
    name = tokenizer or (spec.model if _is_available(spec.model) else FALLBACK_TOKENIZER)
    try:
        loaded = models.load_tokenizer(name)
    except UserError as error:
        raise UserError(f"{error}; or give another --tokenizer, or lengths with --length-file FILE") from None
    if name == spec.model:
        return Examples(encode(splits.train, task, loaded, spec.head), splits.source, name)
    return Examples(_encode_as(spec, splits.train, task, loaded), splits.source, name, is_fallback=True)


def _encode_as(spec: RunSpec, examples: Sequence[Example], task: Task, loaded: LoadedModel) -> list[Encoded]:
    """Encode examples with another model's tokenizer in the form that the spec's model takes."""
    family = _family(spec)
    causal = dataclasses.replace(loaded.family, masked=False)
    if family.masked and task.cloze:
        # Everything except the mask, which is added below.
        task = dataclasses.replace(task, prompt=partial(task.cloze, mask=""))
    examples = [Example(task, example.row) for example in examples]
    encoded = encode(
        examples, task, dataclasses.replace(loaded, family=causal, max_length=_max_length(spec)), spec.head
    )
    if not family.masked or spec.head == "classification":
        return encoded
    # A mask replaces the candidate, which is one token in such a model's tokenizer.
    word = WORD
    return [
        dataclasses.replace(
            e, prompt=(*e.prompt[1 - _max_length(spec) :], word), candidates=((word,),) * len(e.candidates),
            length=min(len(e.prompt) + 1, _max_length(spec)),
        )
        for e in encoded
    ]  # fmt: skip


def _family(spec: RunSpec) -> models.Family:
    """Return the family of the spec's model; `UserError` if it cannot be trained on the task."""
    family = models.family_of(models.shape_of(spec.model).model_type, spec.model)
    task = tasks.load(spec.task)
    if family.masked and spec.head == "lm" and task.loss == "teacher_forcing":
        raise UserError(f"task {task.title} needs a causal model: {spec.model} is a masked LM")
    return family


def _max_length(spec: RunSpec) -> int:
    return min(models.MAX_LENGTH, _family(spec).positions(models.shape_of(spec.model)))


def _is_available(name: str) -> bool:
    """Return whether a model's tokenizer can be read without a network."""
    from huggingface_hub import try_to_load_from_cache

    if name in models.builtin() or Path(name).expanduser().is_dir():
        return True
    return all(
        isinstance(try_to_load_from_cache(name, f), str) for f in ("config.json", "tokenizer_config.json")
    )
