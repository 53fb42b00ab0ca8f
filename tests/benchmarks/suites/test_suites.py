"""Tests of every suite file: valid specs without duplicates, and filters that select among them."""

from functools import cache

import pytest

from benchmarks import registry, suites
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.sweep import selection

SUITES = tuple(registry.files("suite"))


@cache
def loaded(name):
    """Return a suite's specs. A suite may only lack them if its trials have no rows yet."""
    try:
        return suites.load(name)
    except UserError as error:
        trials = getattr(registry.module("suite", name), "TRIALS", None)
        if f"run `python -m benchmarks sweep {trials}`" not in str(error):
            raise
        pytest.skip(f"{trials} has no rows yet")


@pytest.mark.medium
@pytest.mark.parametrize("name", SUITES)
def test_a_suite_lists_different_specs_in_the_same_order_each_time(name):
    specs = loaded(name)
    assert specs
    assert all(isinstance(spec, RunSpec) for spec in specs)
    assert len({spec.id for spec in specs}) == len(specs)
    assert [spec.id for spec in suites.load(name)] == [spec.id for spec in specs]
    assert registry.summary("suite", name).endswith(".")


@pytest.mark.medium
@pytest.mark.parametrize("name", SUITES)
def test_only_selects_the_runs_that_it_names(name, monkeypatch):
    specs = loaded(name)
    monkeypatch.setattr(suites, "load", loaded)
    assert selection.specs_of(name, {}, {}) == specs
    first = specs[0]
    only = {"method": [first.method], "task": [first.task]}
    assert selection.specs_of(name, {}, only) == [
        s for s in specs if (s.method, s.task) == (first.method, first.task)
    ]
