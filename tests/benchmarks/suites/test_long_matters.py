"""Tests of suite `long-matters` and its trials: equal budgets, both versions of each task, and the rates."""

from collections import defaultdict
from statistics import mean

import pytest

from benchmarks.config import labels
from benchmarks.config.names import ZERO_SHOT
from benchmarks.report.long_matters import named
from benchmarks.results import store
from benchmarks.results.frame import setting_of
from benchmarks.results.row import read
from benchmarks.suites import long_matters, long_matters_grid
from benchmarks.tasks._difficulty import LONG_ABOVE

TASKS = {"boolq", "multirc", "squad"}


@pytest.fixture(scope="module")
def specs():
    return long_matters.specs()


def test_every_method_runs_on_both_versions_of_each_task_with_six_seeds(specs):
    count = defaultdict(int)
    for s in specs:
        alpha = s.settings.get("alpha")
        count[labels.label(s), alpha or None, s.task] += 1
    tasks = TASKS | {f"{task}-long" for task in TASKS}
    names = {("Addax", alpha) for alpha in (0.001, 0.01, 0.03, 0.1, 0.3)}
    names |= {("Addax-WA", 0.001), ("Addax (D1 only)", None), ("IP-SGD (checkpointing)", None)}
    names |= {("MeZO", None), (ZERO_SHOT, None)}
    assert count == {(*name, task): 6 for name in names for task in tasks}
    assert len({s.id for s in specs}) == len(specs)


def test_runs_have_equal_budgets_and_score_long_and_short_rows(specs):
    for s in specs:
        long_above = LONG_ABOVE if s.task.endswith("-long") else "q0.75"
        assert (s.long_above or s.length_threshold).value() == long_above
        assert (s.data_seed, s.data) == (s.seed, "builtin")
        if s.method != ZERO_SHOT:
            assert s.budget == ("forward_equivalents", 5760)


def test_long_rows_are_left_out_of_the_backward_pass_by_addax_only(specs):
    for s in specs:
        label = labels.label(s)
        if label in ("Addax", "Addax (D1 only)"):
            assert s.length_threshold is not None
        else:
            assert s.length_threshold is None
        assert s.train_on == "all"


def test_the_comparisons_are_every_method_against_d1_only():
    compared = long_matters.COMPARISONS
    assert compared.reference == "Addax (D1 only)"
    assert {compared.reference, *compared.others} == set(long_matters_grid.METHODS)


def test_learning_rates_are_the_best_of_their_trials():
    """The best rate has the highest validation score, as the mean over the six tasks."""
    scores = defaultdict(lambda: defaultdict(list))
    for run in named(read(store.REFERENCE / "long-matters-grid.jsonl")).runs.itertuples():
        # A run that diverged has no score.
        score = run.validation_score if run.outcome == "done" else 0.0
        scores[run.label][setting_of(run.setting)["lr"]].append(score)
    assert {name: tuple(sorted(rates)) for name, rates in scores.items()} == long_matters_grid.RATES
    for name, rates in scores.items():
        assert {len(values) for values in rates.values()} == {6}
        best = max(rates, key=lambda lr: mean(rates[lr]))
        assert long_matters.RATES[name] == best
        assert min(rates) < best < max(rates)


def test_the_page_names_the_numbers_of_steps_of_the_committed_runs():
    rows = [row for row in read(store.REFERENCE / "long-matters.jsonl") if row["steps"]]
    assert {(row["label"], row["steps"]) for row in rows} == {
        ("MeZO", 180), ("Addax", 240), ("Addax-WA", 240), ("Addax (D1 only)", 480),
        ("IP-SGD (checkpointing)", 360),
    }  # fmt: skip
    page = (store.REFERENCE.parents[1] / "docs/results/long-matters.md").read_text()
    assert "180 steps of MeZO, 240 of Addax, 480 of D1 only, and 360 of IP-SGD with checkpointing" in page
