"""Tests of trials: which runs the rows ask for, and which rates they select."""

import pytest

from benchmarks import suites
from benchmarks.compare import rates, trials
from benchmarks.compare.suite_files import Comparison
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.labels import label
from benchmarks.errors import UserError
from benchmarks.results import store
from tests.benchmarks.results import result_rows

COMMON = {"model": "nano-opt", "task": "sst2", "data": "builtin", "device": "cpu", "steps": 10}
METHODS = {"mezo": {"eps": 1e-2}, "adam": {}}
CENTERS = {"mezo": 1e-3, "adam": 1e-4}
NAME = "mine"
TRIED = f"{NAME}-trials"


@pytest.fixture
def comparison(runs):
    """Write the suites of a comparison of MeZO and Adam."""
    Comparison(NAME, "About.", {"seeds": 2}, "builtin", COMMON, METHODS, CENTERS, 2, {}).write()


def finish(scores, losses=None, status="done"):
    """Write a row for every trial of the suite: `scores` maps rates to validation scores."""
    for spec in suites.load(TRIED):
        rate = spec.settings["lr"]
        row = result_rows.row(spec.method, status=status if rate in scores else "OOM")
        row |= {"id": spec.id, "config": spec.config(), "label": label(spec)}
        row["validation"] = {"score": scores.get(rate, 0.0), "loss": (losses or {}).get(rate, 1.0)}
        store.write(TRIED, row)


def tried(method):
    return [spec.settings["lr"] for spec in suites.load(TRIED) if spec.method == method]


def test_every_method_begins_with_three_rates_a_decade_apart(comparison):
    assert tried("mezo") == [1e-4, 1e-3, 1e-2]
    assert tried("adam") == [1e-5, 1e-4, 1e-3]
    for spec in suites.load(TRIED):
        assert (spec.seed, spec.data_seed, spec.budget) == (trials.SEED, trials.SEED, ("steps", 10))
        assert spec.settings.get("eps", 1e-2) == 1e-2


def test_the_first_trials_determine_the_last_ones(comparison):
    finish({1e-2: 0.8, 1e-3: 0.7, 1e-4: 0.6, 1e-5: 0.5})
    assert tried("mezo")[3:] == [3e-3, 3e-2]
    assert tried("adam")[3:] == [3e-4, 3e-3]
    assert len(trials.missing(TRIED)) == 4
    finish({1e-2: 0.8, 3e-3: 0.9, 1e-3: 0.7, 3e-4: 0.75, 1e-4: 0.6, 1e-5: 0.5, 3e-2: 0.1})
    assert len(suites.load(TRIED)) == 2 * rates.TRIALS
    assert trials.missing(TRIED) == []
    assert trials.chosen(TRIED) == {"mezo": 3e-3, "adam": 3e-3}


def test_rows_of_older_code_are_no_current_trials(comparison):
    for spec in suites.load(TRIED):
        row = result_rows.row(spec.method) | {"id": spec.id, "config": spec.config(), "label": label(spec)}
        store.write(TRIED, row | {"source_fingerprint": source_fingerprint(spec)})
    (old, *_) = suites.load(TRIED)
    store.write(TRIED, store.read_row(store.folder(TRIED) / f"{old.id}.json") | {"source_fingerprint": "0"})
    assert old not in trials.missing(TRIED)
    assert old in trials.missing(TRIED, current=True)
    assert len(trials.missing(TRIED, current=True)) == 1 + len(trials.missing(TRIED))


def test_equal_scores_go_to_the_lower_validation_loss(comparison):
    scores = dict.fromkeys((1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2), 0.5)
    finish(scores, {1e-4: 0.4, 1e-3: 0.3})
    finish(scores, {1e-4: 0.4, 1e-3: 0.3})
    assert trials.chosen(TRIED) == {"mezo": 1e-3, "adam": 1e-3}


def test_a_trial_that_did_not_finish_is_not_selected_and_a_method_without_any_is_left_out(comparison):
    # Only Adam has a trial at 1e-5.
    finish({1e-5: 0.6})
    assert tried("mezo") == [1e-4, 1e-3, 1e-2]
    finish({1e-5: 0.6, 3e-6: 0.7, 3e-5: 0.5})
    assert trials.chosen(TRIED) == {"adam": 3e-6}
    assert {spec.method for spec in suites.load(NAME)} == {"zero-shot", "adam"}
    left_out, edge = trials.notes(TRIED)
    assert left_out.startswith("mezo: left out, because none of its trials finished")
    assert "the selected rate, 3e-06, is at the edge of those tried (3e-06 to 0.001)" in edge
    assert "--center adam=3e-06" in edge


def test_the_runs_need_all_trials(comparison):
    with pytest.raises(UserError, match=f"6 of 6 trials have no row yet.*sweep {TRIED}"):
        suites.load(NAME)


def test_every_method_has_the_same_seeds_rows_and_budget(comparison):
    for _ in range(2):
        finish({rate: 1 - rate for rate in (3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2)})
    found = suites.load(NAME)
    by_method = {m: [s for s in found if s.method == m] for m in ("zero-shot", "mezo", "adam")}
    for own in by_method.values():
        assert [(s.seed, s.data_seed) for s in own] == [(0, 0), (1, 1)]
    assert {s.budget for s in found if s.method != "zero-shot"} == {("steps", 10)}
    assert {s.settings["lr"] for s in by_method["adam"]} == {3e-6}


def test_no_finished_trial_at_all_is_an_error(comparison):
    finish({})
    with pytest.raises(UserError, match="no trial of any method finished"):
        trials.chosen(TRIED)
