"""Rows that several figures are tested with."""

import pytest

from tests.benchmarks.results import result_rows as made


@pytest.fixture(scope="module")
def rows():
    """Nine tasks, all methods, one out of memory, one failed, one killed, and a sweep on one task."""
    rows = [
        r
        for r in made.suite()
        if (r["config"]["method"], r["config"]["task"])
        not in {("sgd", "record"), ("mezo", "cb"), ("mezo-svrg", "wsc")}
    ]
    rows += [*made.k0_sweep(), made.row(task="multirc", label="Addax-WA", length_threshold=None)]
    rows += [made.row("sgd", "record", status="OOM", reason="out of memory at a batch of one")]
    rows += [made.row("mezo-svrg", "wsc", status="killed", reason="the worker died twice")]
    return [*rows, made.row("mezo", "cb", status="failed", reason="out of memory while loading")]
