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


def test_every_method_and_zero_shot_run_on_every_task_of_a_model_with_every_seed(specs):
    methods = {"addax", "mezo", "mezo-svrg", "ip-sgd", "sgd", "adam", ZERO_SHOT}
    assert methods <= {*registry.files("method"), ZERO_SHOT}
    nine = {"sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad"}
    assert set(quick.TASKS_OF["nano-opt"]) == nine < set(registry.files("task"))
    grid = specs[:231]
    counts = Counter((s.model, s.task, s.method) for s in grid)
    assert {key: n for key, n in counts.items() if key[0] == "nano-opt"} == {
        ("nano-opt", task, method): 3 for task in nine for method in methods
    }
    for model in ("nano-llama", "nano-roberta"):
        found = {key: n for key, n in counts.items() if key[0] == model}
        assert len(found) == 21
        assert set(found.values()) == {1}
        assert {method for _, _, method in found} == methods
    assert all(tasks.load(s.task).loss == "classification" for s in grid if s.model == "nano-roberta")
    assert len({s.id for s in specs}) == len(specs)
    assert all(s.seed == s.data_seed for s in specs)


def test_addax_assigns_data_and_one_run_compares_it_with_addax_wa(specs):
    counts = Counter(labels.label(s) for s in specs[:231])
    assert counts["Addax"] == 33
    assert "Addax-WA" not in counts
    rest = specs[231:]
    assert {(s.method, labels.label(s), len({(r.model, r.task) for r in rest})) for s in rest} == {
        ("addax", "Addax-WA", 1)
    }


def test_k0_is_swept_at_a_fixed_k1(specs):
    sweep_runs = {s.settings["zo_batch_size"]: s for s in specs[232:]}
    assert sorted(sweep_runs)[0] == 0
    assert sorted(sweep_runs)[-1] == 16
    assert {s.settings["fo_batch_size"] for s in sweep_runs.values()} == {4}
    # K0 = 0 is IP-SGD.
    assert sweep_runs[0].settings["alpha"] == 0
    assert len({s.id for s in sweep_runs.values()}) == len(specs[232:])


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
