"""Tests of the comparison of a rerun with the committed rows."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.errors import UserError
from benchmarks.report import agreement
from benchmarks.results.row import write_lines
from tests.benchmarks.results import result_rows

SCORES = (0.70, 0.80, 0.75)


def seeds(scores=SCORES, **changes):
    """Return one row per seed, with these scores."""
    rows = [result_rows.row("mezo", seed=seed) | changes for seed in range(len(scores))]
    return [row | {"score": score} for row, score in zip(rows, scores, strict=True)]


def kinds(rows, reference):
    return [c.kind for c in agreement.compare(rows, reference)]


def test_equal_scores_are_identical():
    assert kinds(seeds(), seeds()) == [agreement.IDENTICAL] * 3


def test_runs_are_identical_to_the_bit_only_if_their_curves_are():
    rows = seeds()
    other = [{**point, "loss": 1.0 + (point.get("loss") or 0)} for point in rows[0]["curve"]]
    found = agreement.compare([rows[0] | {"curve": other}, *rows[1:]], seeds())
    assert [c.to_the_bit for c in found] == [False, True, True]
    assert {c.kind for c in found} == {agreement.IDENTICAL}


@pytest.mark.parametrize("name", agreement.EVALUATED)
def test_runs_are_identical_to_the_bit_only_if_everything_that_pages_show_is(name):
    rows = seeds()
    rows[0][name] = {"score": 0.123456}
    assert [c.to_the_bit for c in agreement.compare(rows, seeds())] == [False, True, True]


def test_the_interval_holds_95_percent_of_further_scores():
    """Monte Carlo over normal scores, independent of the formula."""
    draws = np.random.default_rng(0).normal(0.7, 0.05, (4000, 4))
    hits = 0
    for *known, new in draws:
        low, high = agreement.prediction_interval(known)
        hits += low <= new <= high
    # The standard error of 4,000 trials is 0.34 %.
    assert hits / len(draws) == pytest.approx(0.95, abs=0.012)


def test_a_score_is_within_the_spread_up_to_the_ends_of_the_interval():
    half = stats.t.ppf(0.975, 2) * 0.05 * math.sqrt(4 / 3)
    for offset, kind in ((half - 1e-6, agreement.WITHIN), (half + 1e-6, agreement.DIFFERENT)):
        for sign in (1, -1):
            rows = seeds((0.75 + sign * offset, *SCORES[1:]))
            assert kinds(rows, seeds()) == [kind, agreement.IDENTICAL, agreement.IDENTICAL]


def test_one_committed_seed_gives_no_spread():
    assert agreement.prediction_interval([0.7]) is None
    assert kinds(seeds((0.71,)), seeds((0.70,))) == [agreement.DIFFERENT]
    assert "one seed, so no spread" in agreement.text("demo", seeds((0.71,)), seeds((0.70,)))


def test_failed_and_missing_runs_are_counted_and_not_compared():
    rows = [seeds()[0] | {"score": None, "status": "failed"}, seeds()[1]]
    text = agreement.text("demo", rows, seeds())
    assert text.startswith("demo: 1 runs compared")
    assert "2 committed runs have no finished counterpart here" in text


def test_runs_of_another_task_version_are_not_compared_and_the_message_names_the_versions():
    """One run of three has the version of the committed rows; the scores of the others cannot be compared."""
    rows = seeds((0.1, 0.2, 0.75))
    new, both = rows[0] | {"generator_version": 2}, rows[1] | {"generator_version": 3, "task_version": 2}
    committed = seeds(task_version=1)
    text = agreement.text("demo", [new, both, rows[2]], committed)
    assert text.startswith("demo: 1 runs compared")
    assert "Not compared: 1 run of sst2 with generator version 2 here and 1 in the committed rows." in text
    assert (
        "1 run of sst2 with prompt version 2 here and 1 in the committed rows, generator version 3 here and "
        "1 in the committed rows." in text
    )
    assert "Different runs" not in text
    assert "no finished counterpart" not in text
    everything = agreement.text("demo", seeds(generator_version=2), committed)
    assert "Not compared: 3 runs of sst2 with generator version 2 here" in everything


def test_committed_scores_of_another_task_version_are_no_part_of_the_spread():
    committed = seeds()
    committed[2] |= {"generator_version": 2, "score": 0.1}
    (first, second) = agreement.compare(seeds(), committed)
    assert first.interval == second.interval == agreement.prediction_interval(SCORES[:2])


def test_the_text_names_versions_and_hardware_of_both_sides():
    here = seeds(hardware="New CPU, 8 cores", versions={"torch": "2.11.0"})
    text = agreement.text("demo", here, seeds(hardware="Old CPU, 2 cores", versions={"torch": "2.13.0"}))
    assert "hardware\n  here:      New CPU, 8 cores\n  committed: Old CPU, 2 cores" in text
    assert "here:      torch 2.11.0\n  committed: torch 2.13.0" in text


def test_a_suite_without_committed_rows_or_without_runs_is_an_error(tmp_path):
    folder = tmp_path / "results/reference"
    folder.mkdir(parents=True)
    write_lines(folder / "demo.jsonl", seeds())
    with pytest.raises(UserError, match="no runs of 'demo' on this machine"):
        agreement.report("demo", tmp_path)
    runs = tmp_path / "results/runs/other"
    runs.mkdir(parents=True)
    write_lines(runs / "rows.jsonl", seeds())
    with pytest.raises(UserError, match="has no committed rows"):
        agreement.report("other", tmp_path, [runs])
