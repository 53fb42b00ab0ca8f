"""Result rows shared by the tests of several figures."""

import pytest

from tests.benchmarks.results import result_rows


@pytest.fixture(scope="module")
def rows():
    """Return rows of nine tasks and all methods: one OOM, one failed, and one killed run, and a K0 sweep."""
    rows = [
        r
        for r in result_rows.suite()
        if (r["config"]["method"], r["config"]["task"])
        not in {("sgd", "record"), ("mezo", "cb"), ("mezo-svrg", "wsc")}
    ]
    rows += [
        *result_rows.k0_sweep(),
        result_rows.row(task="multirc", label="Addax-WA", length_threshold=None),
    ]
    rows += [result_rows.row("sgd", "record", status="OOM", reason="out of memory at a batch of one")]
    rows += [result_rows.row("mezo-svrg", "wsc", status="killed", reason="the worker died twice")]
    return [*rows, result_rows.row("mezo", "cb", status="failed", reason="out of memory while loading")]
