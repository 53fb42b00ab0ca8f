"""The choice among trials: by validation score, then loss; complete or refused."""

import dataclasses
import json

import pytest

from benchmarks import registry
from benchmarks.config import labels
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.results import frame as _rows
from benchmarks.results import tuning
from benchmarks.suites import small, small_grid

TRIALS = [
    from_dict({"method": method, "model": "nano-opt", "task": "sst2", "steps": 5, "lr": lr})
    for method in ("mezo", "adam")
    for lr in (1e-3, 1e-2, 1e-1)
]


def row(spec, score, loss=1.0, status="done"):
    done = status == "done"
    return {
        "id": spec.id,
        "config": spec.config(),
        "label": labels.label(spec),
        "status": status,
        "metric": "accuracy",
        "score": 0.5 if done else None,
        "validation": {"score": score, "loss": loss, "n": 10} if done else None,
        "curve": [],
    }


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Puts rows of a suite "trials" in place of this machine's."""

    def put(found):
        folder = tmp_path / "results" / "reference"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trials.jsonl").write_text("".join(json.dumps(r) + "\n" for r in found))

    raw = _rows.raw
    monkeypatch.setattr(_rows, "raw", lambda suite: raw(suite, tmp_path))
    return put


def test_the_best_on_validation_of_each_method(rows):
    scores = [(0.5, 1.0), (0.7, 1.0), (0.6, 0.1), (0.9, 0.3), (0.9, 0.2), (0.8, 0.1)]
    rows([row(spec, *of) for spec, of in zip(TRIALS, scores, strict=True)])
    found = tuning.best("trials", TRIALS)
    assert set(found) == {("nano-opt", "sst2", "MeZO"), ("nano-opt", "sst2", "Adam")}
    assert found["nano-opt", "sst2", "MeZO"]["lr"] == 1e-2
    # A tie goes to the lower loss.
    assert found["nano-opt", "sst2", "Adam"] == dict(TRIALS[4].settings)


def test_a_trial_that_diverged_is_none(rows):
    bad = {1: "failed"}
    rows([row(s, 0.5 + i / 100, status=bad.get(i % 3, "done")) for i, s in enumerate(TRIALS)])
    assert {own["lr"] for own in tuning.best("trials", TRIALS).values()} == {1e-1}
    rows([row(s, 0.5, status="failed" if s.method == "mezo" else "done") for s in TRIALS])
    with pytest.raises(UserError, match="no trial of MeZO on sst2 with nano-opt came to its end"):
        tuning.best("trials", TRIALS)


def test_trials_without_rows_are_asked_for(rows):
    other = dataclasses.replace(TRIALS[5], set=dict(TRIALS[5].settings) | {"lr": 0.5})
    rows([row(s, 0.5) for s in (*TRIALS[:5], other)])
    with pytest.raises(UserError, match=r"1 of the 6 trials of suite trials have no row yet, Adam on sst2"):
        tuning.best("trials", TRIALS)
    with pytest.raises(UserError, match="python -m benchmarks sweep trials"):
        tuning.best("trials", TRIALS)


def test_every_method_has_equally_many_trials():
    specs = small_grid.specs()
    cells = {}
    for spec in specs:
        cells.setdefault((spec.model, spec.task, labels.label(spec)), []).append(spec)
    assert {len(cell) for cell in cells.values()} == {3}
    for cell in cells.values():
        assert len({s.settings["lr"] for s in cell}) == 3
        assert len({s.budget for s in cell}) == 1


def test_small_trains_each_method_as_its_trials_chose(monkeypatch):
    """In turns, seed by seed, with equal seconds and equal rows."""
    chosen = {}
    for spec in small_grid.specs():
        # The middle one of three.
        cell = chosen.setdefault((spec.model, spec.task, labels.label(spec)), [])
        cell.append(dict(spec.settings))
    monkeypatch.setattr(tuning, "best", lambda trials, specs: {k: v[1] for k, v in chosen.items()})
    specs = small.specs()
    trained = [s for s in specs if s.method != "zero-shot"]
    assert len({s.id for s in specs}) == len(specs) == 2 * (1 + 7) + 2 * 3 * 8
    for s in trained:
        name = labels.label(s).removesuffix(" (checkpointing)")
        assert s.settings["lr"] == small_grid.GRID[s.model][name][1]
        assert s.budget == ("seconds", small.SECONDS[s.model])
        assert s.gradient_checkpointing == (name != labels.label(s))
        assert (s.train_rows, s.validation_rows, s.test_rows) == (1000, 200, 400)
    encoder = [s for s in trained if (s.model, s.task) == ("minilm-l6", "rte")]
    assert [s.seed for s in encoder] == [0] * 8 + [1] * 8 + [2] * 8
    assert [labels.label(s) for s in encoder[:8]] == [labels.label(s) for s in encoder[8:16]]
    assert all(s.seed == s.data_seed for s in trained)
    assert registry.module("suite", "small").TRIALS == "small-grid"
