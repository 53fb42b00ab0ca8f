"""Tests of every suite file: valid specs without duplicates, and filters that select among them."""

from functools import cache

import pytest

from benchmarks import registry, suites
from benchmarks.config.spec import RunSpec
from benchmarks.sweep import scheduler as sweep

SUITES = tuple(registry.files("suite"))

loaded = cache(suites.load)


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
    monkeypatch.setattr(suites, "load", loaded)
    specs = loaded(name)
    assert sweep.specs_of(name, {}, {}) == specs
    first = specs[0]
    only = {"method": [first.method], "task": [first.task]}
    assert sweep.specs_of(name, {}, only) == [
        s for s in specs if (s.method, s.task) == (first.method, first.task)
    ]
