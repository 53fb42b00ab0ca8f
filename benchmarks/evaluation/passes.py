"""Forward passes, prepared: every tensor that a score reads, made on the device before the model runs.

A step evaluates its loss up to four times on the same batch, and a copy from the host in the middle of an
evaluation would wait for the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.padding import Padding
from benchmarks.evaluation.transfer import on_device


@dataclass(frozen=True)
class PromptPass:
    """One forward pass of prompts, from each of which one position is read.

    Attributes:
        inputs: the model's inputs.
        behind: number of positions that follow the one to read: one number for all rows, or shape (batch,).
        keep: number of last positions that contain those to read.
    """

    inputs: dict[str, Tensor]
    behind: int | Tensor
    keep: int


@dataclass(frozen=True)
class Prompts:
    """The passes of a batch, and the index that sorts their rows like the batch; None for one pass."""

    passes: tuple[PromptPass, ...]
    order: Tensor | None


@dataclass(frozen=True)
class Continuations:
    """One forward pass of prompts with continuations, whose tokens are scored.

    Attributes:
        inputs: the model's inputs.
        keep: number of last positions whose logits are needed.
        columns: the last real positions of each row, as many as the longest continuation has: their number,
            or their distances from the end, which are negative, shape (sequences, longest).
        targets: the tokens at these positions, shape (sequences, longest).
        scored: which of them belong to the continuation, shape (sequences, longest).
        counts: number of tokens of each continuation, shape (sequences,).
    """

    inputs: dict[str, Tensor]
    keep: int
    columns: int | Tensor
    targets: Tensor
    scored: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Candidates:
    """The passes that score the candidates of a batch.

    Attributes:
        passes: prompts that predict every candidate's only token, or prompts with each candidate.
        tokens: the candidates' tokens for `Prompts`, shape (batch, most candidates); else None.
        real: which entries of the table of scores are candidates, shape (batch, most candidates).
        sizes: number of candidates of each example.
    """

    passes: Prompts | Continuations
    tokens: Tensor | None
    real: Tensor
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class TrainingBatch(Sequence[Encoded]):
    """Training examples with everything that their loss reads.

    Attributes:
        examples: the examples, which are also the items of this sequence.
        passes: the passes of a classification head, of candidates, or of answers.
        gold: index of each example's class or correct candidate; None for answers.
    """

    examples: tuple[Encoded, ...]
    passes: Prompts | Candidates | Continuations
    gold: Tensor | None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]


def prompts(padding: Padding, batch: Sequence[Encoded], behind: Sequence[int]) -> Prompts:
    """Prepare the passes of a batch's prompts, together as far as the model's padding allows.

    Args:
        padding: the model's padding.
        batch: the examples.
        behind: number of tokens of each prompt that follow the one to read.
    """
    groups = padding.groups([e.prompt for e in batch])
    passes = []
    for group in groups:
        rows = [batch[i].prompt for i in group]
        follow = [behind[i] for i in group]
        if padding.side != "left":
            longest = max(map(len, rows))
            follow = [n + longest - len(row) for n, row in zip(follow, rows, strict=True)]
        inputs = padding.inputs(rows, [batch[i].types for i in group])
        # In most batches padded on the left, the same number of tokens follows every position to read.
        same = len(set(follow)) == 1
        where = follow[0] if same else on_device(follow, padding.device)
        passes.append(PromptPass(inputs, where, max(follow) + 1))
    if len(groups) == 1:
        return Prompts(tuple(passes), None)
    place = {i: row for row, i in enumerate(i for group in groups for i in group)}
    return Prompts(tuple(passes), on_device([place[i] for i in range(len(batch))], padding.device))


def continuations(
    padding: Padding, sequences: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], *, all_logits: bool
) -> Continuations:
    """Prepare the pass of (prompt, continuation) pairs; with `all_logits`, it computes all logits."""
    whole = [(*prompt, *continuation) for prompt, continuation in sequences]
    counts = [len(continuation) for _, continuation in sequences]
    most, longest = max(map(len, whole)), max(counts)
    # Position t predicts token t + 1. With padding on the left, continuations end together.
    unused = min(len(p) for p, _ in sequences) if padding.side == "right" else most - longest
    columns: int | Tensor = longest
    if padding.side != "left" and len({len(tokens) for tokens in whole}) > 1:
        ends = [len(tokens) - most for tokens in whole]
        columns = on_device([list(range(end - longest, end)) for end in ends], padding.device)
    targets = [[0] * (longest - len(tokens)) + list(tokens[-longest:]) for tokens in whole]
    scored = [[False] * (longest - n) + [True] * n for n in counts]
    return Continuations(
        padding.inputs(whole),
        0 if all_logits else most - unused + 1,
        columns,
        on_device(targets, padding.device),
        on_device(scored, padding.device),
        on_device(counts, padding.device),
    )


def read(values: Tensor, behind: int | Tensor) -> Tensor:
    """Return the entry of each row that `behind` others follow: shape (batch, ...).

    Args:
        values: shape (batch, positions, ...); leading positions may be missing.
        behind: one number for all rows, or shape (batch,).
    """
    last = values.shape[1] - 1
    if isinstance(behind, int):
        return values[:, last - behind]
    rows = torch.arange(len(values), device=values.device)
    return values[rows, last - behind.to(values.device)]


def read_last(values: Tensor, columns: int | Tensor) -> Tensor:
    """Return the last entries of each row, as `Continuations.columns` gives them: shape (rows, longest, ...).

    In rows with fewer entries, the first of them are arbitrary.
    """
    if isinstance(columns, int):
        return values[:, -columns:]
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, (columns + values.shape[1]).clamp(min=0)]
