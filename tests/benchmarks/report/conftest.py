"""Rows that several tests of the report use."""

import pytest

from tests.benchmarks.results import result_rows as made


@pytest.fixture(scope="module")
def nine():
    """One seed of everything on two models; SGD out of memory, MeZO failed and MeZO-SVRG killed on a task."""
    gone = {("sgd", "record"): "OOM", ("mezo", "cb"): "failed", ("mezo-svrg", "multirc"): "killed"}
    rows = []
    for row in made.suite(models=("nano-opt", "nano-llama")):
        config = row["config"]
        status = gone.get((config["method"], config["task"]))
        known = (config["method"], config["task"], config["model"])
        rows.append(made.row(*known, status=status, reason=f"it {status}") if status else row)
    return [*rows, made.row(task="boolq", label="Addax-WA", length_threshold=None)]
