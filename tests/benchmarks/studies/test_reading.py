"""Tests of the study of reading: every format holds all rows, and a limit that is exceeded is named."""

import argparse

import pytest

from benchmarks.data import formats
from benchmarks.studies import reading


@pytest.mark.process
def test_every_format_is_read_in_a_process_of_its_own():
    rows = reading.measure(argparse.Namespace(rows=300), lambda line: None)
    assert [row["format"] for row in rows] == list(reading.WRITERS)
    # Every format, and one compressed.
    assert {formats.READERS.get(row["format"]) for row in rows} == {*formats.READERS.values(), None}
    assert {row["count"] for row in rows} == {300}
    # A process that imports torch would have a peak above 200 MB.
    assert all(10e6 < row["peak_bytes"] < 200e6 for row in rows)
    assert len(reading.table(rows).splitlines()) == 2 + len(rows)
    assert reading.excess(rows) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 99_999}, ".csv: read 99999 of 100000 rows"),
        ({"seconds": 10.5}, ".csv: 10.5 s, more than 10 s"),
        ({"peak_bytes": 600e6}, ".csv: 600 MB, more than 500 MB"),
        ({"rows": 200_000, "count": 200_000, "seconds": 19.0}, None),
    ],
)
def test_a_format_that_exceeds_a_limit_is_a_problem(change, message):
    row = {"format": ".csv", "rows": 100_000, "count": 100_000, "seconds": 9.0, "peak_bytes": 90e6}
    assert reading.excess([row | change]) == message
