"""The benchmark of 16-bit arithmetic measures what its rows say, on few weights."""

import json

import pytest
import torch

from addax import noise
from benchmarks import registry
from benchmarks.results import store
from benchmarks.studies import precision as arithmetic

COUNT = 1 << 14


@pytest.fixture
def small(monkeypatch):
    """The benchmark on few weights, steps and sizes, without the real model."""
    monkeypatch.setattr(arithmetic, "STEPS", (1, 8))
    monkeypatch.setattr(arithmetic, "SIZES", (1e-5, 1e-3))
    monkeypatch.setattr(arithmetic, "WEIGHTS", COUNT)
    monkeypatch.setattr(arithmetic, "DRIFTING", COUNT // 2)
    monkeypatch.setattr(arithmetic, "real", lambda count: (3 * arithmetic.synthetic(count), 9 * count))


def test_drift_is_the_relative_change_of_the_published_moves():
    weight = arithmetic.synthetic(COUNT).bfloat16()
    found = dict(arithmetic.drifts(weight, "released"))
    assert list(found) == list(arithmetic.STEPS)
    theta = weight
    z = noise.draw(noise.hash_seed(0, 0), 0, weight.shape, arithmetic.CPU).bfloat16()
    for scale in (1, -2, 1):
        theta = theta + scale * z * arithmetic.EPS
    wanted = (theta.double() - weight.double()).norm() / weight.double().norm()
    assert found[1] == pytest.approx(wanted.item(), rel=1e-12)
    assert found[2000] > 30 * found[1]


@pytest.mark.parametrize("dtype", arithmetic.DTYPES, ids=str)
def test_exact_evaluation_and_steps_of_zero_do_not_drift(dtype, small):
    assert dict(arithmetic.drifts(arithmetic.synthetic(COUNT).to(dtype), "exact")) == {1: 0.0, 8: 0.0}


def test_fractions_are_means_over_enough_directions(monkeypatch):
    monkeypatch.setattr(arithmetic, "LENGTH", 1.0)
    weight = arithmetic.synthetic(COUNT)
    size = 1e-5
    found = {(a, r): each for a, r, each in arithmetic.fractions(weight.bfloat16(), size)}
    assert {len(each) for each in found.values()} == {6}
    z = noise.draw(5, 0, weight.shape, arithmetic.CPU)
    before = weight.bfloat16()
    taken = (before.float() - size * z).bfloat16().double() - before.double()
    wanted = torch.dot(taken, z.double()) / (-size * torch.dot(z.double(), z.double()))
    assert found["exact", "nearest"][5] == pytest.approx(wanted.item(), rel=1e-5)
    assert found["released", None][5] == pytest.approx(wanted.item(), rel=0.1)
    assert sum(found["exact", "stochastic"]) / 6 == pytest.approx(1, abs=0.15)
    wide = {(a, r): each for a, r, each in arithmetic.fractions(weight, size)}
    assert {way: len(each) for way, each in wide.items()} == {("released", None): 4, ("exact", None): 4}
    assert all(one == pytest.approx(1, abs=1e-3) for each in wide.values() for one in each)


def test_saved_rows_make_the_table_and_the_figure(small, monkeypatch, tmp_path, capsys):
    reference = tmp_path / "results" / "reference"
    reference.mkdir(parents=True)
    monkeypatch.setattr(store, "REFERENCE", reference)
    monkeypatch.setattr(arithmetic, "FIGURES", tmp_path / "figures")
    refreshed = []
    monkeypatch.setattr(arithmetic.readme, "refresh", refreshed.append)
    monkeypatch.setattr("sys.argv", ["arithmetic", "--save"])
    assert arithmetic.main() == 0
    rows = [json.loads(line) for line in (reference / "arithmetic.jsonl").read_text().splitlines()]
    # For each of two sets of weights: 3 dtypes x 2 ways x 2 steps, and 2 + 3 + 3 ways x 2 sizes.
    assert len(rows) == 2 * (12 + 16)
    assert all({"git_commit", "git_dirty", "hardware", "versions", "threads"} <= row.keys() for row in rows)
    assert {(r["weights"], r["population"]) for r in rows} == {
        ("synthetic", None),
        ("smollm2-135m", 9 * COUNT),
    }
    assert {(r["measure"], r["count"]) for r in rows} == {("drift", COUNT // 2), ("fraction", COUNT)}
    assert refreshed == [registry.ROOT / "README.md"]
    assert {file.name for file in (tmp_path / "figures/arithmetic").iterdir()} == {
        "arithmetic.png",
        "arithmetic.pdf",
    }
    assert "exact, stochastic" in capsys.readouterr().out
