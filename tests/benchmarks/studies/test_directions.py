"""Tests of the study of directions: exact variances, comparisons of pairs of runs, and the committed rows."""

from argparse import Namespace
from itertools import product
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn

from addax.noise import DIRECTIONS
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.results import paired, store
from benchmarks.results.row import read, write_lines
from benchmarks.studies import _direction_tables, _estimator_variance, directions
from benchmarks.suites import quick

# The distribution of one element of z: values and weights. Four nodes of Gauss and Hermite integrate
# polynomials up to degree seven exactly, and z has degree six at most.
NODES = {
    "normal": np.polynomial.hermite_e.hermegauss(4),
    "rademacher": (np.array([-1.0, 1.0]), np.array([1.0, 1.0])),
}


def expectations(gradient, direction):
    """Return the variances of (g . z) z by summation over the product of the elements' distributions."""
    values, weights = NODES[direction]
    weights = weights / weights.sum()
    total = along = 0.0
    for chosen in product(range(len(values)), repeat=len(gradient)):
        z, p = values[list(chosen)], weights[list(chosen)].prod()
        estimate = gradient @ z * z
        total += p * ((estimate - gradient) ** 2).sum()
        along += p * (estimate @ gradient - gradient @ gradient) ** 2
    square = gradient @ gradient
    return {"total": total / square, "along": along / square**2}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("gradient", [(3.0,), (1.0, 1.0), (0.5, -2.0, 0.0, 1.5, 0.1)])
def test_the_theory_equals_the_exact_expectation(direction, gradient):
    found = _estimator_variance.theory(torch.tensor(gradient, dtype=torch.float64), direction)
    assert found == pytest.approx(expectations(np.array(gradient), direction), rel=1e-12, abs=1e-12)


def test_the_variance_is_as_stated_for_equal_elements():
    gradient = torch.ones(10, dtype=torch.float64)
    assert _estimator_variance.theory(gradient, "normal") == {"total": 11, "along": 2}
    assert _estimator_variance.theory(gradient, "rademacher") == pytest.approx({"total": 9, "along": 1.8})


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_measured_variances_agree_with_the_theory(direction):
    """The loss is not quadratic, and one element of its gradient dominates."""
    torch.manual_seed(0)
    model, x = nn.Linear(5, 1).double(), torch.tensor([[4.0, 1.0, 1.0, 0.5, 0.2]], dtype=torch.float64)
    found = _estimator_variance.measure(model, lambda: model(x).tanh().sum(), direction, draws=800)
    assert (found["parameters"], found["draws"], found["direction"]) == (6, 800, direction)
    mean, error = found["mean"]
    assert abs(mean - 1) < 4 * error
    for name, value, error, exact in (("total", *found["total"]), ("along", *found["along"])):
        assert abs(value - exact) < 4 * error, name
        assert error < 0.2 * exact
    other = _estimator_variance.KAPPA.keys() - {direction}
    wrong = _estimator_variance.theory(torch.autograd.grad(model(x).sum(), model.weight)[0], *other)
    assert abs(found["along"][0] - wrong["along"]) > 4 * found["along"][1]


def test_measured_estimates_have_signs():
    """With a linear loss, ghat is exactly (g . z) z."""
    model, x = nn.Linear(3, 1).double(), torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    found = _estimator_variance.measure(model, lambda: model(x).sum(), "rademacher", draws=2)
    # The gradient is (1, 2, -1, 1), so (g . z)^2 is one of these squares, and |g|^2 is 7.
    squares = {np.dot(z, [1, 2, -1, 1]) ** 2 for z in product((-1, 1), repeat=4)}
    assert min(abs(14 * found["mean"][0] - a - b) for a, b in product(squares, repeat=2)) < 1e-6


def run_row(direction, seed, score, task="sst2", method="mezo", curve=(0.4, 0.5, 0.6)):
    steps = 10 * (len(curve) - 1)
    return {
        "measure": "run", "model": "nano-opt", "task": task, "task_title": task.upper(), "method": method,
        "label": method, "direction": direction, "seed": seed, "lr": 1e-3, "steps": steps, "outcome": "done",
        "score": score, "curve": [[10 * i, value] for i, value in enumerate(curve)],
    }  # fmt: skip


def scores_of(by_direction, **fields):
    return [
        run_row(direction, seed, score, **fields)
        for direction, scores in by_direction.items()
        for seed, score in enumerate(scores)
    ]


def test_scores_are_compared_in_pairs_of_equal_task_and_seed():
    first = scores_of({"normal": [0.5, 0.6, 0.7], "rademacher": [0.6, 0.6]})
    second = scores_of({"normal": [0.1] * 2, "rademacher": [0.4] * 2}, task="cb")
    failed = run_row("rademacher", 2, None) | {"outcome": "failed"}
    found = list(_direction_tables.comparisons([*first, failed, *second], _direction_tables._scores))
    assert [(c.label, c.title) for c in found] == [("mezo", "SST2"), ("mezo", "CB"), ("mezo", paired.ALL)]
    assert found[0].differences == pytest.approx([10, 0])
    assert found[2].differences == pytest.approx([10, 0, 30, 30])


def test_the_table_of_scores_shows_the_majority_of_each_task_if_rows_have_it():
    pair = {"normal": [0.5, 0.6], "rademacher": [0.6, 0.6]}
    old = [*scores_of(pair), *scores_of(pair, task="cb")]
    new = [row | {"majority": {"sst2": 0.5, "cb": 0.4}[row["task"]]} for row in old]
    head, _, *lines = _direction_tables.scores(new).splitlines()
    assert head.split("|")[-2].strip() == "majority"
    assert [line.split("|")[-2].strip() for line in lines] == ["50.0", "40.0", "45.0"]
    assert "majority" not in _direction_tables.scores(old)


def test_steps_count_to_the_first_validation_at_the_target():
    # Half of the gain from 0.4 to 0.6 is 0.5.
    normals = [run_row("normal", s, 0.6) for s in range(2)]
    fast = run_row("rademacher", 0, 0.6, curve=(0.4, 0.55, 0.6))
    never = run_row("rademacher", 1, 0.6, curve=(0.6, 0.4, 0.45))
    quickest = run_row("rademacher", 1, 0.6, curve=(0.4, 0.5, 0.2))
    (found,) = _direction_tables.comparisons([*normals, fast, never], _direction_tables._steps)
    assert (found.target, found.reached) == (pytest.approx(50), (2, 1))
    assert (list(found.normals), list(found.signs)) == ([10, 10], [10, 30])
    (found,) = _direction_tables.comparisons([*normals, fast, quickest], _direction_tables._steps)
    assert (found.reached, list(found.signs)) == ((2, 2), [10, 10])


def test_a_significant_loss_over_all_tasks_is_a_problem():
    def rows(loss):
        worse = [0.6 - loss - 0.001 * seed for seed in range(8)]
        by_task = {"normal": [0.6] * 8, "rademacher": worse}
        return [*scores_of(by_task), *scores_of(by_task, task="cb")]

    assert _direction_tables.problem(rows(0.02)).startswith("mezo: signs lose 2.4 points (-2.5 to -2.")
    assert _direction_tables.problem(rows(-0.02)) is None


def test_a_row_of_a_run_holds_what_the_tables_need():
    spec = next(directions.specs(["sst2"], 1))
    spec = spec.replace(evaluations=1, steps=1, train_rows=40, validation_rows=4, test_rows=4)
    row = directions._run(spec)
    assert (row["method"], row["direction"], row["seed"], row["outcome"]) == ("mezo", "normal", 0, "done")
    assert (row["id"], row["run_fingerprint"]) == (spec.id, source_fingerprint(spec))
    assert [step for step, _ in row["curve"]] == [0, 1]
    assert 0 <= row["score"] <= 1


def test_the_runs_of_a_pair_differ_in_the_direction_only():
    specs = list(directions.specs(["sst2", "cb"], 2))
    assert len({spec.id for spec in specs}) == len(specs) == 16
    for normal, signs in zip(specs[::2], specs[1::2], strict=True):
        assert normal.settings["direction"] == "normal"
        assert normal.replace(direction="rademacher") == signs
        assert normal.settings["lr"] == quick.SETTINGS[normal.method]["lr"]


def test_a_saved_study_repeats_only_what_has_no_row(tmp_path, monkeypatch):
    ran = []

    def run(spec):
        ran.append(spec)
        row = run_row(spec.settings["direction"], spec.seed, 0.5, spec.task, spec.method)
        return row | {"id": spec.id, "run_fingerprint": source_fingerprint(spec)}

    monkeypatch.setattr(store, "REFERENCE", tmp_path)
    monkeypatch.setattr(directions, "_run", run)
    measured, variance = [], directions._variance
    monkeypatch.setattr(directions, "_variance", lambda *of: measured.append(of) or variance(*of))
    options = Namespace(task=["sst2"], seeds=1, draws=2, save=True)
    first = directions.measure(options, lambda line: None)
    assert len(first) == 8
    file = tmp_path / "directions.jsonl"
    lines = read(file)
    assert len(lines) == 8
    assert [(s.method, s.settings["direction"]) for s in ran] == [*product(("mezo", "addax"), DIRECTIONS)]
    directions.measure(options, lambda line: None)
    assert (len(ran), len(measured)) == (4, 4)
    write_lines(file, [*lines[:-1], lines[-1] | {"run_fingerprint": "of other code"}])
    directions.measure(options, lambda line: None)
    assert len(ran) == 5
    # Without --save, nothing is taken from the file.
    directions.measure(Namespace(**vars(options) | {"save": False}), lambda line: None)
    assert (len(ran), len(measured)) == (9, 8)


@pytest.fixture(scope="module")
def committed():
    return read(store.REFERENCE / "directions.jsonl")


def test_committed_variances_agree_with_the_theory(committed):
    found = [row for row in committed if row["measure"] == "variance"]
    assert {(row["which"], row["direction"]) for row in found} == {
        *product((directions.ALL, directions.NORM), DIRECTIONS)
    }
    for row in found:
        kappa = {"normal": 3, "rademacher": 1}[row["direction"]]
        assert row["total"][2] == row["parameters"] + kappa - 2
        assert row["draws"] >= 2000
        for value, error, exact in (row["total"], row["along"], (*row["mean"], 1)):
            assert abs(value - exact) < 4 * error
    assert max(row["total"][1] / row["total"][2] for row in found) < 2 * sqrt(2 / 2000)


def test_committed_runs_are_ten_pairs_of_every_method_and_task(committed):
    runs = {(r["method"], r["task"], r["direction"], r["seed"]) for r in committed if r["measure"] == "run"}
    assert runs == {*product(directions.METHODS, directions.TASKS, DIRECTIONS, range(10))}
    for row in committed:
        if row["measure"] == "run":
            assert row["outcome"] == "done"
            assert len(row["curve"]) == 11
            assert not row["git_dirty"]


def test_quick_uses_signs_only_if_they_do_not_lose(committed):
    expected = "normal" if _direction_tables.problem(committed) else "rademacher"
    assert expected == quick.DIRECTION
