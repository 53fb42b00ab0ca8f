"""Shards: `sweep SUITE --shard I/N` runs part I of N, so that N machines can split a suite."""

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
        raise UserError(f"--shard must be I/N with 1 <= I <= N (such as 1/4), not {text!r}")
    return int(part), int(count)


def shard(specs: "Sequence[RunSpec]", part: int, count: int) -> "list[RunSpec]":
    """Return one part of a list of specs, in the order of the list.

    The parts are disjoint and cover all specs. They depend only on the specs and their order. Each part gets
    an equal share of the runs of every (model, method) pair, within one run.

    Args:
        specs: all specs.
        part: number of the part, from 1 to `count`.
        count: number of parts.
    """
    by_pair: dict[tuple[str, str], list[str]] = defaultdict(list)
    for spec_id, spec in {spec.id: spec for spec in specs}.items():
        by_pair[spec.model, spec.method].append(spec_id)
    ids = [spec_id for group in by_pair.values() for spec_id in group]
    selected = set(ids[part - 1 :: count])
    return [spec for spec in specs if spec.id in selected]
