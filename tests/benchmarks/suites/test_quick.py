"""Tests of the suite `quick`: its methods, models, and tasks, and that methods use equal data."""

from collections import Counter

import pytest

from benchmarks import registry, tasks
from benchmarks.config import labels
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.suites import quick


@pytest.fixture(scope="module")
def specs():
    return quick.specs()


def test_every_method_and_zero_shot_run_on_every_task_that_a_model_supports(specs):
    methods = {"addax", "mezo", "mezo-svrg", "ip-sgd", "sgd", "adam", ZERO_SHOT}
    assert methods <= {*registry.files("method"), ZERO_SHOT}
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


def test_addax_assigns_data_and_one_run_compares_it_with_addax_wa(specs):
    counts = Counter(labels.label(s) for s in specs[:175])
    assert counts["Addax"] == 25
    assert "Addax-WA" not in counts
    rest = specs[175:]
    assert {(s.method, labels.label(s), len({(r.model, r.task) for r in rest})) for s in rest} == {
        ("addax", "Addax-WA", 1)
    }


def test_k0_is_swept_at_a_fixed_k1(specs):
    sweep_runs = {s.settings["zo_batch_size"]: s for s in specs[176:]}
    assert sorted(sweep_runs)[0] == 0
    assert sorted(sweep_runs)[-1] == 16
    assert {s.settings["fo_batch_size"] for s in sweep_runs.values()} == {4}
    # K0 = 0 is IP-SGD.
    assert sweep_runs[0].settings["alpha"] == 0
    assert len({s.id for s in sweep_runs.values()}) == len(specs[176:])


def test_all_methods_except_mezo_svrg_use_the_same_data(specs):
    for s in specs:
        assert (s.validation_rows, s.test_rows) == (quick.ROWS["validation_rows"], quick.ROWS["test_rows"])
        if s.method != "mezo-svrg":
            assert s.train_rows == quick.ROWS["train_rows"]


def test_a_manual_run_gets_the_settings_of_the_suite():
    for method in (ZERO_SHOT, *quick.SETTINGS):
        given = quick.defaults(method, "nano-opt")
        assert from_dict({"method": method, "model": "nano-opt", "task": "sst2", **given}) in quick.specs()
    assert quick.defaults("addax", "facebook/opt-13b") is None
    assert quick.defaults("no-such", "nano-opt") is None
