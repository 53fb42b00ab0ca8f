"""Tests of the suite `quick`: its methods, models, and tasks, and that methods use equal data."""

from collections import Counter, defaultdict
from statistics import mean

import pytest

from benchmarks import registry, tasks
from benchmarks.config import labels
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.results import store
from benchmarks.results.directions import direction_of
from benchmarks.results.row import read
from benchmarks.suites import quick, quick_grid


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


def test_every_run_that_perturbs_weights_uses_random_signs(specs):
    for s in (*specs, *quick_grid.specs()):
        if s.settings.get("zo_batch_size"):
            assert s.settings["direction"] == "rademacher"
        else:
            assert s.settings.get("direction", "normal") == "normal"


def test_a_manual_run_gets_the_settings_of_the_suite_with_normal_directions(specs):
    for method in (ZERO_SHOT, *quick.SETTINGS):
        given = quick.defaults(method, "nano-opt")
        manual = from_dict({"method": method, "model": "nano-opt", "task": "sst2", **given})
        assert manual.settings.get("direction", "normal") == "normal"
        has_direction = "direction" in manual.settings
        assert (manual.replace(direction="rademacher") if has_direction else manual) in specs
    assert quick.defaults("addax", "facebook/opt-13b") is None
    assert quick.defaults("no-such", "nano-opt") is None


def test_learning_rates_are_the_best_of_their_trials_and_not_at_an_edge():
    """The best rate has the highest validation score, as the mean over the nine tasks."""
    scores = defaultdict(lambda: defaultdict(list))
    for row in read(store.REFERENCE / "quick-grid.jsonl"):
        score = row["curve"][-1]["score"] if row["status"] == "done" else 0.0
        settings = row["config"]["settings"]
        scores[row["config"]["method"]][settings["lr"]].append(score)
        if settings.get("zo_batch_size"):
            assert direction_of(row["config"]) == quick.DIRECTION
    assert {method: tuple(sorted(rates)) for method, rates in scores.items()} == quick_grid.RATES
    for method, rates in scores.items():
        assert {len(values) for values in rates.values()} == {9}
        best = max(rates, key=lambda lr: mean(rates[lr]))
        assert quick.SETTINGS[method]["lr"] == best
        assert min(rates) < best < max(rates)


def test_trials_differ_from_the_runs_of_the_suite_in_the_seed_and_the_rows_only():
    by_method = {s.method: s for s in quick.specs() if (s.model, s.task, s.seed) == ("nano-opt", "rte", 1)}
    for trial in quick_grid.specs():
        assert (trial.seed, trial.data_seed, trial.model) == (100, 100, "nano-opt")
        if trial.task == "rte":
            same = {"lr": quick.SETTINGS[trial.method]["lr"], "seed": 1, "data_seed": 1}
            same |= {"validation_rows": 100, "test_rows": 1000, "evaluations": 5}
            assert trial.replace(**same).id == by_method[trial.method].id
