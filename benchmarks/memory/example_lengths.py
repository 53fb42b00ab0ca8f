"""Encoded examples that a run trains on, for models whose tokenizer may not be available offline."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import models, tasks
from benchmarks.config.spec import RunSpec
from benchmarks.data import long_rows
from benchmarks.data.example import Example
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.hub import cache
from benchmarks.hub.models import SMALL
from benchmarks.memory.dry_step import WORD, synthetic
from benchmarks.models import LoadedModel
from benchmarks.models._generic import check_head
from benchmarks.tasks import Task

FALLBACK_TOKENIZER = "smollm2-135m"
# Measured on 32 to 300 published training rows of each of the nine tasks, against GPT-2's byte-pair tokenizer
# plus a BOS token. The ratio for the longest row of a task, which determines the peak, is 0.98 to 1.09.
FALLBACK_ACCURACY = (
    "a task's median length is 0.92 to 1.07 times its median with the byte-pair tokenizer of OPT and RoBERTa"
)


@dataclass(frozen=True)
class Examples:
    """Encoded examples that a run trains on, and the source of their lengths.

    Attributes:
        rows: the examples; their tokens may come from another tokenizer, since only the lengths matter.
        source: "builtin", "hub", "folder", or "file" (of rows or of lengths).
        tokenizer: name of the model whose tokenizer counts the tokens; None for lengths from a file.
        is_fallback: whether that tokenizer is not the model's.
        cut: number of lengths from a file that exceed the model's maximum and were reduced to it.
        short: number of tokens that no example exceeds because the run trains on short ones only; None for a
            run that trains on all.
    """

    rows: Sequence[Encoded]
    source: str
    tokenizer: str | None = None
    is_fallback: bool = False
    cut: int = 0
    short: int | None = None


def of_file(spec: RunSpec, file: str) -> Examples:
    """Read examples from a file with one length per line.

    Each candidate counts as one token. An answer for training counts as the task's maximum number of tokens.

    Raises:
        UserError: the file cannot be read, a line is not a length, or the run would train on no example.
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
                    f"{file}, line {number}: a length is a whole number of tokens, at least 2, not {line!r}"
                )
            lengths.append(int(line))
    if not lengths:
        raise UserError(f"--length-file {file} is empty: write one length in tokens per line")
    task = tasks.load(spec.task)
    clipped = [min(n, limit) for n in lengths]
    if spec.head == "classification":
        rows = synthetic(clipped, candidates=0)
    elif task.loss == "teacher_forcing":
        rows = [synthetic([n], answer=min(task.max_new_tokens, n - 1))[0] for n in clipped]
    else:
        rows = synthetic(clipped)
    return _trained_on(spec, Examples(rows, "file", cut=sum(n > limit for n in lengths)))


def of_task(spec: RunSpec, source: str, tokenizer: str | None) -> Examples:
    """Encode a task's training rows with the model's tokenizer or with the fallback.

    Args:
        spec: model, task, head, and the fields that select rows.
        source: "builtin", "hub", a folder, or a file.
        tokenizer: the name of the model whose tokenizer to use; None for the spec's model if its tokenizer is
            on this machine, otherwise for `FALLBACK_TOKENIZER`.

    Raises:
        UserError: the source has no rows of the task, no tokenizer is available, or the run would train on
            no example.
    """
    task = tasks.load(spec.task)
    try:
        splits = load_splits(
            spec.task, source, train=spec.train_rows, validation=spec.validation_rows, test=spec.test_rows,
            seed=spec.data_seed, shots=spec.shots, head=spec.head, revision=spec.data_revision,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"{error}, or pass lengths with --length-file FILE") from None
    name = tokenizer or (spec.model if _is_available(spec.model) else FALLBACK_TOKENIZER)
    try:
        loaded = models.load_tokenizer(name, spec.trust_remote_code and name == spec.model)
    except UserError as error:
        raise UserError(
            f"{error}; use another --tokenizer, or pass lengths with --length-file FILE"
        ) from None
    if name == spec.model:
        found = Examples(encode(splits.train, task, loaded, spec.head), splits.source, name)
    else:
        found = Examples(_encode_as(spec, splits.train, task, loaded), splits.source, name, is_fallback=True)
    return _trained_on(spec, found)


def _trained_on(spec: RunSpec, found: Examples) -> Examples:
    """Return the examples without those that `train_on` leaves out."""
    if spec.train_on == "all":
        return found
    tokens = long_rows.tokens_of(spec.long_above, found.rows)
    rows = long_rows.short_rows(found.rows, tokens, spec.task)
    return dataclasses.replace(found, rows=rows, short=tokens)


def _encode_as(spec: RunSpec, examples: Sequence[Example], task: Task, loaded: LoadedModel) -> list[Encoded]:
    """Encode examples with another model's tokenizer, in the form that the spec's model expects."""
    family, limit = _family(spec), _max_length(spec)
    causal = dataclasses.replace(loaded.family, masked=False)
    if family.masked and task.cloze:
        # Encode everything except the mask, which is added below.
        task = dataclasses.replace(task, prompt=partial(task.cloze, mask=""))
    examples = [Example(task, example.row) for example in examples]
    encoded = encode(examples, task, dataclasses.replace(loaded, family=causal, max_length=limit), spec.head)
    if not family.masked or spec.head == "classification":
        return encoded
    # For a masked model, the mask replaces the candidate, which is a single token of the model's tokenizer.
    word = WORD
    return [
        dataclasses.replace(
            e, prompt=(*e.prompt[1 - limit :], word), candidates=((word,),) * len(e.candidates),
            length=min(len(e.prompt) + 1, limit),
        )
        for e in encoded
    ]  # fmt: skip


def _family(spec: RunSpec) -> models.Family:
    """Return the family of the spec's model; raise `UserError` if it cannot be trained on the task."""
    config = models.shape_of(spec.model, spec.trust_remote_code)
    family = models.family_of(config.model_type, spec.model, config)
    check_head(family, spec.head, spec.model)
    task = tasks.load(spec.task)
    if family.masked and spec.head == "lm" and task.loss == "teacher_forcing":
        raise UserError(f"task {task.title} needs a causal model: {spec.model} is a masked LM")
    return family


def _max_length(spec: RunSpec) -> int:
    config = models.shape_of(spec.model, spec.trust_remote_code)
    return min(models.MAX_LENGTH, _family(spec).positions(config))


def _is_available(name: str) -> bool:
    """Return whether a model's tokenizer can be loaded without a network."""
    repo = models.hub_model(name)
    if repo is None:
        return True
    found = cache.snapshot(repo, SMALL)
    return found is not None and all((found / f).exists() for f in ("config.json", "tokenizer_config.json"))
