"""Tests of the selection of a sweep's specs: filters, changes, and defaults."""

import pytest

from benchmarks import suites
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.sweep import selection


@pytest.mark.parametrize(
    ("only", "named"),
    [
        ({"methd": ["sgd"]}, "unknown filter 'methd': did you mean 'method'?"),
        ({"method": ["sgdd"]}, "unknown method in suite quick 'sgdd': did you mean 'sgd'?"),
        ({"method": ["sgd"], "label": ["MeZO"]}, "unknown label in suite quick 'MeZO'"),
        ({"seed": ["7"]}, "unknown seed in suite quick '7'"),
    ],
)
def test_invalid_filters_are_rejected(only, named):
    with pytest.raises(UserError) as error:
        selection.specs_of("quick", {}, only)
    assert named in str(error.value)


def test_changes_apply_to_all_runs():
    specs = selection.specs_of("quick", {"data": "folder", "device": "cuda"}, {"task": ["cb", "wsc"]})
    assert {(s.data, s.device, s.task) for s in specs} == {
        ("folder", "cuda", "cb"),
        ("folder", "cuda", "wsc"),
    }
    with pytest.raises(UserError, match="unknown suite 'quik': did you mean 'quick'"):
        selection.specs_of("quik", {}, {})


def test_defaults_apply_to_the_runs_that_choose_nothing_and_budgets_not_to_zero_shot(monkeypatch):
    where = {"model": "nano-opt", "task": "sst2"}
    trained = where | {"method": "mezo", "lr": 1e-3, "steps": 5}
    chosen = {"data": "builtin", "device": "cpu"}
    listed = [from_dict(trained), from_dict(trained | chosen), from_dict(where | {"method": "zero-shot"})]
    monkeypatch.setattr(suites, "load", lambda name: listed)
    defaults = {"data": "folder", "device": "cuda"}
    plain, own, zero = selection.specs_of("mine", {}, {}, defaults)
    assert [(s.data, s.device) for s in (plain, own, zero)] == [
        ("folder", "cuda"), ("builtin", "cpu"), ("folder", "cuda"),
    ]  # fmt: skip
    plain, own, zero = selection.specs_of("mine", {"device": "cuda:1", "steps": 7}, {}, defaults)
    assert [(s.data, s.device) for s in (plain, own, zero)] == [
        ("folder", "cuda:1"), ("builtin", "cuda:1"), ("folder", "cuda:1"),
    ]  # fmt: skip
    assert [s.steps for s in (plain, own, zero)] == [7, 7, 0]
