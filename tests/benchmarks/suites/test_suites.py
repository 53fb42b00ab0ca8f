"""Every suite file: valid specs, each run once; and what `quick` promises."""

from collections import Counter
from functools import cache

import pytest

from benchmarks import registry, suites, tasks
from benchmarks.config.methods import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites import quick, rounding
from benchmarks.sweep import scheduler as sweep

SUITES = tuple(registry.files("suite"))
loaded = cache(suites.load)


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_is_a_list_of_specs(name):
    specs = loaded(name)
    assert specs
    assert all(isinstance(spec, RunSpec) for spec in specs)
    assert len({spec.id for spec in specs}) == len(specs)
    assert [spec.id for spec in suites.load(name)] == [spec.id for spec in specs]
    assert registry.summary("suite", name).endswith(".")


@pytest.mark.parametrize("name", SUITES)
def test_only_narrows_a_suite(name, monkeypatch):
    monkeypatch.setattr(suites, "load", loaded)
    specs = loaded(name)
    assert sweep.specs_of(name, {}, {}) == specs
    first = specs[0]
    only = {"method": [first.method], "task": [first.task]}
    assert sweep.specs_of(name, {}, only) == [
        s for s in specs if (s.method, s.task) == (first.method, first.task)
    ]


@pytest.fixture(scope="module")
def specs():
    return quick.specs()


def test_quick_is_six_methods_and_zero_shot_wherever_a_model_serves_a_task(specs):
    methods = {*registry.files("method"), ZERO_SHOT}
    assert len(methods) == 7
    wanted = {
        (model, task, method)
        for model in ("nano-opt", "nano-llama", "nano-roberta")
        for task in quick.TASKS
        for method in methods
        if model != "nano-roberta" or tasks.load(task).loss == "classification"
    }
    assert len(wanted) == 175
    nine = {"sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad"}
    assert set(quick.TASKS) == nine < set(registry.files("task"))
    first = specs[:175]
    assert {(s.model, s.task, s.method) for s in first} == wanted
    assert len({s.id for s in first}) == 175
    assert {(s.seed, s.data_seed) for s in specs} == {(0, 0)}


def test_quick_assigns_data_in_addax_and_compares_it_with_none(specs):
    labels = Counter(s.label for s in specs[:175])
    assert labels["Addax"] == 25
    assert "Addax-WA" not in labels
    rest = specs[175:]
    assert {(s.method, s.label, len({(r.model, r.task) for r in rest})) for s in rest} == {
        ("addax", "Addax-WA", 1)
    }


def test_quick_sweeps_k0_at_a_fixed_k1(specs):
    sweep_runs = {s.set["zo_batch_size"]: s for s in specs[176:]}
    assert sorted(sweep_runs)[0] == 0
    assert sorted(sweep_runs)[-1] == 16
    assert {s.set["fo_batch_size"] for s in sweep_runs.values()} == {4}
    # K0 = 0 is IP-SGD.
    assert sweep_runs[0].set["alpha"] == 0
    assert len({s.id for s in sweep_runs.values()}) == len(specs[176:])


def test_quick_sees_equal_data_in_all_methods_but_the_full_batch_one(specs):
    for s in specs:
        assert (s.validation_rows, s.test_rows) == (quick.ROWS["validation_rows"], quick.ROWS["test_rows"])
        if s.method != "mezo-svrg":
            assert s.train_rows == quick.ROWS["train_rows"]


def test_quick_gives_its_settings_to_runs_by_hand():
    for method in (ZERO_SHOT, *quick.SETTINGS):
        given = quick.defaults(method, "nano-opt")
        assert from_dict({"method": method, "model": "nano-opt", "task": "sst2", **given}) in quick.specs()
    assert quick.defaults("addax", "facebook/opt-13b") is None
    assert quick.defaults("no-such", "nano-opt") is None


def test_rounding_compares_quick_s_settings_seed_by_seed():
    """Every 16-bit run has its float32 twin, equal in all but the arithmetic."""
    groups = {}
    for s in rounding.specs():
        assert s.seed == s.data_seed
        own = {k: v for k, v in s.set.items() if k not in ("rounding", "arithmetic")}
        assert own.items() >= {k: v for k, v in quick.SETTINGS[s.method].items() if k != "steps"}.items()
        way = (s.dtype, s.set["rounding"], s.set.get("arithmetic", "exact"))
        groups.setdefault((s.method, s.task, s.seed, s.steps, str(own)), []).append(way)
    assert len(groups) == 3 * 3 * 3
    every = [(dtype, "stochastic", "exact") for dtype in ("float32", "bfloat16", "float16")]
    every += [("bfloat16", "nearest", "exact"), ("bfloat16", "stochastic", "released")]
    for (method, *_), ways in groups.items():
        assert ways == (every[:-1] if method == "ip-sgd" else every)
