"""Split a suite over machines: `sweep SUITE --shard I/N` runs part I of N."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec


def parse_shard(text: str) -> tuple[int, int]:
    """Return (I, N) of "I/N".

    >>> parse_shard("1/4")
    (1, 4)

    Raises:
        UserError: `text` is not I/N with 1 <= I <= N.
    """
    part, slash, count = text.partition("/")
    if not (slash and part.isdecimal() and count.isdecimal() and 1 <= int(part) <= int(count)):
        raise UserError(f"--shard wants I/N with 1 <= I <= N, as 1/4, not {text!r}")
    return int(part), int(count)


def shard(specs: "Sequence[RunSpec]", part: int, count: int) -> "list[RunSpec]":
    """Return one part of some specs, in their order.

    The parts are disjoint and complete, and depend on the specs and their order only. Each part gets its
    share of every pair of model and method, give or take one run.

    Args:
        specs: all of them.
        part: which part, from 1 to `count`.
        count: number of parts.
    """
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for spec_id, spec in {spec.id: spec for spec in specs}.items():
        alike[spec.model, spec.method].append(spec_id)
    ids = [spec_id for group in alike.values() for spec_id in group]
    mine = set(ids[part - 1 :: count])
    return [spec for spec in specs if spec.id in mine]
