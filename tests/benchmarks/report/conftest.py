"""Fixtures shared by the tests of reports."""

import pytest

from tests.benchmarks.results import result_rows as made


@pytest.fixture(scope="module")
def nine():
    """Return rows of every method on nine tasks and two models, with one seed.

    On one task each, SGD is out of memory, MeZO failed, and MeZO-SVRG was killed.
    """
    unfinished = {("sgd", "record"): "OOM", ("mezo", "cb"): "failed", ("mezo-svrg", "multirc"): "killed"}
    rows = []
    for row in made.suite(models=("nano-opt", "nano-llama")):
        config = row["config"]
        status = unfinished.get((config["method"], config["task"]))
        key = (config["method"], config["task"], config["model"])
        rows.append(made.row(*key, status=status, reason=f"it {status}") if status else row)
    return [*rows, made.row(task="boolq", label="Addax-WA", length_threshold=None)]
