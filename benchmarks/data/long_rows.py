"""Long and short rows: a number of tokens divides the rows of a run by their lengths."""

from collections.abc import Sequence

from addax.assignment import LengthThreshold, assign
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError


def tokens_of(long_above: LengthThreshold | None, train: Sequence[Encoded]) -> int | None:
    """Return the number of tokens above which a row is long; None if `long_above` is None.

    Args:
        long_above: a number of tokens, or a quantile of the lengths of the training rows.
        train: all training rows of the run, also those that it does not train on.
    """
    return None if long_above is None else long_above.resolve([row.length for row in train])


def short_rows(rows: Sequence[Encoded], tokens: int, task: str) -> list[Encoded]:
    """Return the training rows of at most `tokens` tokens, in their order.

    Args:
        rows: the training rows.
        tokens: the number of tokens above which a row is long.
        task: name of the task, for the error message.

    Raises:
        UserError: every row is long.
    """
    short = [rows[i] for i in assign([row.length for row in rows], tokens).fo]
    if not short:
        lengths = [row.length for row in rows]
        raise UserError(
            f"task {task}: every training example is longer than long_above = {tokens} tokens (lengths "
            f"{min(lengths)} to {max(lengths)}), so train_on=short leaves none: raise it"
        )
    return short
