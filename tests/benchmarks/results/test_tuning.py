"""Tests of tuning: trials per method, the selected setting, the edges of the grid, and the cost."""

import json

import pytest

from benchmarks.config import labels
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.results import sources, tuning
from benchmarks.results.frame import Results
from benchmarks.results.tuning import trials_table
from tests.benchmarks.results import result_rows as made

TRIALS = [
    from_dict({"method": method, "model": "nano-opt", "task": "sst2", "steps": 5, "lr": lr})
    for method in ("mezo", "adam")
    for lr in (1e-3, 1e-2, 1e-1)
]


def row(spec, score, loss=1.0, status="done"):
    done = status == "done"
    return {
        "schema": 2,
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
    """Return a function that replaces the rows of suite "trials"."""

    def put(rows):
        folder = tmp_path / "results" / "reference"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trials.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    load = sources.load_rows
    monkeypatch.setattr(sources, "load_rows", lambda suite: load(suite, tmp_path))
    return put


def test_the_best_setting_of_each_method_on_validation(rows):
    scores = [(0.5, 1.0), (0.7, 1.0), (0.6, 0.1), (0.9, 0.3), (0.9, 0.2), (0.8, 0.1)]
    rows([row(spec, *of) for spec, of in zip(TRIALS, scores, strict=True)])
    found = tuning.best("trials", TRIALS)
    assert set(found) == {("nano-opt", "sst2", "MeZO"), ("nano-opt", "sst2", "Adam")}
    assert found["nano-opt", "sst2", "MeZO"]["lr"] == 1e-2
    # A tie goes to the lower validation loss.
    assert found["nano-opt", "sst2", "Adam"] == dict(TRIALS[4].settings)


def test_a_trial_that_failed_cannot_be_chosen(rows):
    bad = {1: "failed"}
    rows([row(s, 0.5 + i / 100, status=bad.get(i % 3, "done")) for i, s in enumerate(TRIALS)])
    assert {settings["lr"] for settings in tuning.best("trials", TRIALS).values()} == {1e-1}
    rows([row(s, 0.5, status="failed" if s.method == "mezo" else "done") for s in TRIALS])
    with pytest.raises(UserError, match="no trial of MeZO on sst2 with nano-opt finished"):
        tuning.best("trials", TRIALS)


def test_missing_trials_name_the_command_that_runs_them(rows):
    other = TRIALS[5].replace(lr=0.5)
    rows([row(s, 0.5) for s in (*TRIALS[:5], other)])
    with pytest.raises(
        UserError, match=r"1 of the 6 trials of suite trials have no row yet, including Adam on sst2"
    ):
        tuning.best("trials", TRIALS)
    with pytest.raises(UserError, match="python -m benchmarks sweep trials"):
        tuning.best("trials", TRIALS)


def test_trials_of_different_task_versions_are_not_compared(rows):
    found = [row(spec, 0.5) for spec in TRIALS]
    rows([*(line | {"generator_version": 2} for line in found[:4]), *found[4:]])
    with pytest.raises(
        UserError,
        match=r"2 rows of sst2 with generator version 1 \(the newest is version 2\) cannot be compared with "
        "the other trials: run `python -m benchmarks sweep trials`",
    ):
        tuning.best("trials", TRIALS)


def test_trials_keep_their_direction(rows):
    old = [row(spec, 0.5) for spec in TRIALS]
    for line in old[:3]:
        # Rows from before the setting existed have normals.
        line["config"]["settings"].pop("direction")
    rows(old)
    assert set(tuning.best("trials", TRIALS)) == {("nano-opt", "sst2", "MeZO"), ("nano-opt", "sst2", "Adam")}
    signs = [spec.replace(direction="rademacher") for spec in TRIALS[:3]]
    with pytest.raises(UserError, match="3 of the 3 trials of suite trials have no row yet"):
        tuning.best("trials", signs)
    rows([row(spec, 0.5) for spec in signs])
    (chosen,) = tuning.best("trials", signs).values()
    assert chosen["direction"] == "rademacher"


@pytest.mark.parametrize(
    "change", [{"steps": 6}, {"seed": 1}, {"train_rows": 9}, {"dtype": "bfloat16"}, {"data": "hub"}], ids=str
)
def test_a_row_of_another_run_with_the_same_settings_is_no_trial(rows, change):
    rows([row(spec, 0.5) for spec in TRIALS[:5]] + [row(TRIALS[5].replace(**change), 0.5)])
    with pytest.raises(UserError, match="1 of the 6 trials of suite trials have no row yet"):
        tuning.best("trials", TRIALS)


def test_a_trial_may_run_on_another_device(rows):
    rows([row(spec.replace(device="cuda"), 0.5) for spec in TRIALS])
    assert len(tuning.best("trials", TRIALS)) == 2


def tried(method, values, best, seeds=(0,), **fields):
    """Return rows of a grid of learning rates in which `best` has the highest validation score."""
    rows = [made.row(method, lr=lr, seed=seed, **fields) for lr in values for seed in seeds]
    for row in rows:
        score = 0.9 if row["config"]["settings"]["lr"] == best else 0.5
        row["validation"] = {"accuracy": score, "loss": 1 - score, "n": 100}
    return rows


def by_label(rows):
    return trials_table(Results.of(rows)).set_index("label")


def test_trials_of_each_method():
    adam = tried("adam", (1e-5, 1e-4, 1e-3), 1e-4, seeds=(0, 1))
    mezo = tried("mezo", (1e-7, 1e-6, 1e-5), 1e-7)
    found = by_label([*adam, *mezo, made.row("zero-shot")])
    assert list(found.index) == ["MeZO", "Adam"]
    line = found.loc["Adam"]
    assert (line["trials"], line["runs"], line["varied"]) == (3, 6, "lr: 1e-05, 0.0001, 0.001")
    assert (line["chosen"], line["at_edge"]) == ("lr 0.0001", "")
    assert line["seconds"] == sum(row["train_seconds"] for row in adam)
    assert (found.loc["MeZO", "chosen"], found.loc["MeZO", "at_edge"]) == ("lr 1e-07", "lr")
    assert set(found["note"]) == {""}


def test_unequal_numbers_of_trials_are_noted():
    found = by_label([*tried("adam", (1e-4, 1e-3), 1e-3), *tried("sgd", (1e-3,), 1e-3)])
    assert set(found["note"]) == {"unequal trials: 1 to 2"}
    assert (found.loc["SGD", "trials"], found.loc["SGD", "varied"], found.loc["SGD", "at_edge"]) == (
        1,
        "",
        "",
    )


def test_trials_may_vary_several_settings_and_settings_that_are_not_numbers():
    rows = [row for alpha in (0.1, 0.2, 0.3) for row in tried("addax", (1e-3, 1e-2), None, alpha=alpha)]
    rows += tried("addax", (1e-3,), 1e-3, alpha=0.2, length_threshold=None)
    line = by_label(rows).loc["Addax"]
    assert line["trials"] == 7
    assert line["varied"] == "alpha: 0.1, 0.2, 0.3; length_threshold: 40, none; lr: 0.001, 0.01"
    assert line["chosen"] == "alpha 0.2, length_threshold none, lr 0.001"
    assert line["at_edge"] == "lr"


def test_a_sweep_of_batch_sizes_is_not_a_trial():
    rows = [*made.k0_sweep(sizes=(1, 2, 4, 6)), made.row("addax", "rte", zo_batch_size=6, fo_batch_size=4)]
    assert by_label(rows)["trials"].to_list() == [1, 1]


def test_the_chosen_setting_is_that_of_the_reported_runs():
    """A suite may choose over several tasks at once, so the best trial of a task need not be its setting."""
    trials = Results.of(tried("adam", (1e-4, 1e-3, 1e-2), 1e-2) + tried("mezo", (1e-6, 1e-5), 1e-5))
    reported = Results.of([made.row("adam", lr=1e-3, seed=7)])
    found = trials_table(trials, reported).set_index("label")
    assert (found.loc["Adam", "chosen"], found.loc["Adam", "at_edge"]) == ("lr 0.001", "")
    assert (found.loc["MeZO", "chosen"], found.loc["MeZO", "at_edge"]) == ("", "")
    assert trials_table(trials).set_index("label").loc["Adam", "chosen"] == "lr 0.01"
