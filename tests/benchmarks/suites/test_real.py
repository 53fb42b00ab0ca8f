"""Tests of suite `real`, its trials, its costs, and its long run: budgets, batches, rates, comparisons."""

from importlib.util import find_spec
from itertools import pairwise

import pytest

from benchmarks.config import labels
from benchmarks.config.names import ZERO_SHOT
from benchmarks.results import tuning
from benchmarks.results.paired import pairs_needed
from benchmarks.suites import real, real_costs, real_grid, real_mezo

EVERYWHERE = {"Addax", "Addax (D1 only)", "MeZO", "IP-SGD", "Adam", "Adam (LoRA)"}
ON_SST2 = {"Addax-WA", "MeZO (LoRA)", "MeZO-SVRG"} | ({"8-bit Adam"} if find_spec("bitsandbytes") else set())


@pytest.fixture
def chosen(monkeypatch):
    """Let the trials of every method select its second rate, except that those of 8-bit Adam are missing."""

    def best(trials, specs):
        assert trials == "real-grid"
        label = labels.label(specs[0])
        if label == "8-bit Adam":
            raise tuning.UserError("no rows yet")
        return {("smollm2-135m", "sst2", label): dict(specs[1].settings)}

    monkeypatch.setattr(tuning, "best", best)
    real.rate_of.cache_clear()
    yield
    real.rate_of.cache_clear()


def test_trials_have_the_full_budget_and_four_to_six_rates_a_factor_of_three_apart():
    assert real_grid.METHODS.keys() == real_grid.RATES.keys() == EVERYWHERE | ON_SST2
    for label in real_grid.METHODS:
        specs = real_grid.specs_of(label)
        assert {labels.label(s) for s in specs} == {label}
        assert 4 <= len(specs) <= 6
        rates = [s.settings["lr"] for s in specs]
        assert all(2.9 < high / low < 3.4 for low, high in pairwise(rates))
        for s in specs:
            assert (s.seed, s.data_seed, s.task, s.schedule) == (100, 100, "sst2", "linear")
            assert s.budget == ("forward_equivalents", 4800)


def test_a_budget_is_150_steps_of_mezo_200_of_addax_and_adam_and_400_of_ip_sgd():
    per_step = {"MeZO": 2 * 16, "Addax": 2 * 6 + 3 * 4, "Adam": 3 * 8, "Adam (LoRA)": 3 * 8, "IP-SGD": 3 * 4}
    assert {label: real_grid.BUDGET["sst2"] / cost for label, cost in per_step.items()} == {
        "MeZO": 150, "Addax": 200, "Adam": 200, "Adam (LoRA)": 200, "IP-SGD": 400,
    }  # fmt: skip
    for label in per_step:
        settings = real_grid.specs_of(label)[0].settings
        zo, fo = settings.get("zo_batch_size", 0), settings.get("fo_batch_size", 0)
        assert 2 * zo + 3 * fo == per_step[label]


def test_runs_have_equal_rows_and_seeds_and_the_rate_of_their_trials(chosen):
    specs = real.specs()
    assert len({s.id for s in specs}) == len(specs)
    found = {(s.task, s.seed, labels.label(s)) for s in specs}
    expected = set()
    for task, methods, seeds in (
        ("sst2", EVERYWHERE | ON_SST2, 5),
        ("trec", EVERYWHERE, 5),
        ("squad", EVERYWHERE, 3),
    ):
        tuned = methods - {"8-bit Adam"}
        expected |= {(task, seed, label) for seed in range(seeds) for label in tuned | {ZERO_SHOT}}
    assert found == expected
    for s in specs:
        assert s.seed == s.data_seed
        assert (s.train_rows, s.validation_rows) == (1000, 64 if s.task == "squad" else 200)
        if s.method != ZERO_SHOT:
            assert s.settings["lr"] == real_grid.RATES[labels.label(s)][1]
            assert s.budget == ("forward_equivalents", 1600 if s.task == "squad" else 4800)
            assert s.schedule == "linear"
        if s.method == "addax" and labels.label(s) != "Addax-WA":
            assert s.length_threshold.value() == "q0.75"


def test_two_tasks_have_enough_pairs_for_a_significant_difference():
    assert pairs_needed(len(real.COMPARISONS.others)) <= len(real.SEEDS["sst2"]) + len(real.SEEDS["trec"])


def test_the_comparisons_are_addax_against_each_method_that_runs_on_every_task():
    assert real.COMPARISONS.reference == "Addax"
    assert set(real.COMPARISONS.others) == EVERYWHERE - {"Addax"}


def test_no_trial_at_all_is_an_error(monkeypatch):
    def best(trials, specs):
        raise tuning.UserError("40 trials have no row yet")

    monkeypatch.setattr(tuning, "best", best)
    real.rate_of.cache_clear()
    with pytest.raises(tuning.UserError, match="40 trials"):
        real.specs()


def test_costs_are_measured_for_every_method_on_the_whole_machine():
    specs = real_costs.specs()
    assert real_costs.JOBS == 1
    on_sst2 = {labels.label(s) for s in specs if s.task == "sst2"}
    assert on_sst2 == EVERYWHERE | ON_SST2 | {"IP-SGD (checkpointing)"}
    for task in ("trec", "squad"):
        assert {labels.label(s) for s in specs if s.task == task} == EVERYWHERE | {"IP-SGD (checkpointing)"}
    assert {s.budget for s in specs} == {("steps", 20)}


def test_the_long_run_of_mezo_has_five_times_the_budget(chosen):
    (spec,) = real_mezo.specs()
    assert labels.label(spec) == "MeZO"
    assert spec.budget == ("forward_equivalents", 24000)
    assert spec.settings["lr"] == real_grid.RATES["MeZO"][1]
