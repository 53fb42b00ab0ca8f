"""Trials: how many settings each method had, what was chosen, whether at an edge, and what they cost."""

import json

from benchmarks.registry import ROOT
from benchmarks.report import analysis as _analysis
from benchmarks.results import trials
from benchmarks.results.frame import frame
from tests.benchmarks.results import result_rows as made


def tried(method, values, best, seeds=(0,), **own):
    """Rows of a grid of learning rates of which one is the best on validation."""
    rows = [made.row(method, lr=lr, seed=seed, **own) for lr in values for seed in seeds]
    for row in rows:
        score = 0.9 if row["config"]["settings"]["lr"] == best else 0.5
        row["validation"] = {"accuracy": score, "loss": 1 - score, "n": 100}
    return rows


def by_label(rows):
    return trials.table(frame(rows)).set_index("label")


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


def test_unequal_numbers_of_trials_are_told():
    found = by_label([*tried("adam", (1e-4, 1e-3), 1e-3), *tried("sgd", (1e-3,), 1e-3)])
    assert set(found["note"]) == {"unequal trials: 1 to 2"}
    assert (found.loc["SGD", "trials"], found.loc["SGD", "varied"], found.loc["SGD", "at_edge"]) == (
        1,
        "",
        "",
    )


def test_two_settings_and_a_setting_that_is_no_number():
    rows = [row for alpha in (0.1, 0.2, 0.3) for row in tried("addax", (1e-3, 1e-2), None, alpha=alpha)]
    rows += tried("addax", (1e-3,), 1e-3, alpha=0.2, length_threshold=None)
    line = by_label(rows).loc["Addax"]
    assert line["trials"] == 7
    assert line["varied"] == "alpha: 0.1, 0.2, 0.3; length_threshold: 40, none; lr: 0.001, 0.01"
    assert line["chosen"] == "alpha 0.2, length_threshold none, lr 0.001"
    assert line["at_edge"] == "lr"


def test_a_sweep_of_batch_sizes_is_no_trial():
    rows = [*made.k0_sweep(sizes=(1, 2, 4, 6)), made.row("addax", "rte", zo_batch_size=6, fo_batch_size=4)]
    assert by_label(rows)["trials"].to_list() == [1, 1]


def test_the_committed_grid_is_read():
    file = ROOT / "results/reference/small-grid.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    found = by_label(rows)
    assert found["trials"].sum() == len(rows)
    assert found["seconds"].sum() == sum(row["train_seconds"] for row in rows)


def test_a_suite_whose_settings_another_chose_shows_those_trials(monkeypatch):
    asked = []
    grid = tried("adam", (1e-5, 1e-4, 1e-3), 1e-4)
    monkeypatch.setattr(_analysis, "raw", lambda suite: asked.append(suite) or (grid, "somewhere"))
    rows = [made.row("adam", lr=1e-4), made.row("zero-shot")]
    table = _analysis.analyse("small", rows).made["trials"].table
    assert asked == ["small-grid"]
    assert (table["trials"].iloc[0], table["chosen"].iloc[0]) == ("3", "lr 0.0001")
    assert _analysis.analyse("quick", rows).made["trials"].table["trials"].iloc[0] == "1"
