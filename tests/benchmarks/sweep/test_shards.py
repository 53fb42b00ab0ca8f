"""Tests of shards: `--shard I/N` splits a suite's runs into disjoint and complete parts."""

from collections import Counter

import pytest

from benchmarks import suites
from benchmarks.errors import UserError
from benchmarks.sweep.shards import parse_shard, shard


@pytest.fixture(scope="module")
def quick():
    return suites.load("quick")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16])
def test_shards_are_disjoint_and_complete_and_keep_the_order_of_the_suite(quick, count):
    shards = [shard(quick, part, count) for part in range(1, count + 1)]
    ids = [spec.id for specs in shards for spec in specs]
    assert sorted(ids) == sorted({spec.id for spec in quick})
    position = {spec.id: k for k, spec in enumerate(quick)}
    for specs in shards:
        assert [position[spec.id] for spec in specs] == sorted(position[spec.id] for spec in specs)


@pytest.mark.parametrize("count", [2, 7])
def test_shards_share_each_model_and_method_evenly(quick, count):
    """This must hold even if N is the number of methods, which the suite lists in turn."""
    shards = [shard(quick, part, count) for part in range(1, count + 1)]
    sizes = [len(specs) for specs in shards]
    assert max(sizes) - min(sizes) <= 1
    by_pair = [Counter((spec.model, spec.method) for spec in specs) for specs in shards]
    for pair in {(spec.model, spec.method) for spec in quick}:
        found = [counter[pair] for counter in by_pair]
        assert max(found) - min(found) <= 1


def test_shards_do_not_depend_on_the_process(quick):
    """Python's string hash would break this, because every process salts it differently."""
    four = [quick[k] for k in (0, 1, 2, 3)]
    by_pair: dict = {}
    for spec in four:
        by_pair.setdefault((spec.model, spec.method), []).append(spec.id)
    ids = [spec_id for group in by_pair.values() for spec_id in group]
    assert {spec.id for spec in shard(four, 1, 2)} == set(ids[::2])
    assert {spec.id for spec in shard(four, 2, 2)} == set(ids[1::2])


def test_some_shards_are_empty_if_there_are_more_shards_than_runs(quick):
    assert shard(quick[:4], 9, 9) == []


@pytest.mark.parametrize("text", ["3/2", "0/2", "1/0", "-1/2", "1", "1/", "/2", "a/b", "1/2/3", "1.0/2", ""])
def test_an_invalid_shard_is_a_one_line_error(text):
    with pytest.raises(
        UserError, match=r"--shard must be I/N with 1 <= I <= N \(such as 1/4\), not"
    ) as error:
        parse_shard(text)
    assert "\n" not in str(error.value)
