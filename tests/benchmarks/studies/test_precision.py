"""Tests of the study of 16-bit arithmetic, on a few weights."""

import json

import pytest
import torch

from addax import noise, seeds
from benchmarks import studies
from benchmarks.results import store
from benchmarks.studies import precision

COUNT = 1 << 14


@pytest.fixture
def small(monkeypatch):
    """Shrink the study to a few weights, steps, and sizes, without the real model."""
    monkeypatch.setattr(precision, "STEPS", (1, 8))
    monkeypatch.setattr(precision, "SIZES", (1e-5, 1e-3))
    monkeypatch.setattr(precision, "WEIGHTS", COUNT)
    monkeypatch.setattr(precision, "DRIFTING", COUNT // 2)
    monkeypatch.setattr(precision, "real", lambda count: (3 * precision.synthetic(count), 9 * count))


def test_drift_is_the_relative_change_by_the_published_perturbations():
    weight = precision.synthetic(COUNT).bfloat16()
    found = dict(precision.drifts(weight, "released"))
    assert list(found) == list(precision.STEPS)
    theta = weight
    z = noise.draw(seeds.hash_seed(0, 0), 0, weight.shape, precision.CPU).bfloat16()
    for scale in (1, -2, 1):
        theta = theta + scale * z * precision.EPS
    expected = (theta.double() - weight.double()).norm() / weight.double().norm()
    assert found[1] == pytest.approx(expected.item(), rel=1e-12)
    assert found[2000] > 30 * found[1]


@pytest.mark.parametrize("dtype", precision.DTYPES, ids=str)
def test_exact_evaluation_and_steps_of_zero_do_not_drift(dtype, small):
    assert dict(precision.drifts(precision.synthetic(COUNT).to(dtype), "exact")) == {1: 0.0, 8: 0.0}


def test_fractions_are_means_over_enough_directions(monkeypatch):
    monkeypatch.setattr(precision, "LENGTH", 1.0)
    monkeypatch.setattr(precision, "FEWEST_DIRECTIONS", 4)
    weight = precision.synthetic(COUNT)
    size = 1e-5
    found = {(a, r): each for a, r, each in precision.fractions(weight.bfloat16(), size)}
    assert {len(each) for each in found.values()} == {6}
    z = noise.draw(5, 0, weight.shape, precision.CPU)
    before = weight.bfloat16()
    taken = (before.float() - size * z).bfloat16().double() - before.double()
    expected = torch.dot(taken, z.double()) / (-size * torch.dot(z.double(), z.double()))
    assert found["exact", "nearest"][5] == pytest.approx(expected.item(), rel=1e-5)
    assert found["released", None][5] == pytest.approx(expected.item(), rel=0.1)
    assert sum(found["exact", "stochastic"]) / 6 == pytest.approx(1, abs=0.15)
    wide = {(a, r): each for a, r, each in precision.fractions(weight, size)}
    assert {way: len(each) for way, each in wide.items()} == {("released", None): 4, ("exact", None): 4}
    assert all(one == pytest.approx(1, abs=1e-3) for each in wide.values() for one in each)


def test_rows_of_both_sets_of_weights_fill_the_table(small, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "REFERENCE", tmp_path)
    measured = precision.measure(None, print)
    saved = studies.save("precision", measured).read_text().splitlines()
    rows = [json.loads(line) for line in saved]
    # Each set of weights has 3 dtypes x 2 arithmetics x 2 steps, and 2 + 3 + 3 arithmetics x 2 sizes.
    assert len(rows) == 2 * (12 + 16)
    assert all({"git_commit", "git_dirty", "hardware", "versions", "threads"} <= row.keys() for row in rows)
    assert {(r["weights"], r["population"]) for r in rows} == {
        ("synthetic", None),
        ("smollm2-135m", 9 * COUNT),
    }
    assert {(r["measure"], r["count"]) for r in rows} == {("drift", COUNT // 2), ("fraction", COUNT)}
    assert "exact, stochastic" in precision.STUDY.table(rows)
