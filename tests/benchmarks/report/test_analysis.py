"""Tests of the analysis: trials from the suite that tuned the settings, and predicted and measured peaks."""

import csv

from benchmarks.report import analysis, build
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made


def grid():
    """Return rows of three learning rates; the middle one has the best validation score."""
    rows = [made.row("adam", lr=lr) for lr in (1e-5, 1e-4, 1e-3)]
    for row, score in zip(rows, (0.5, 0.9, 0.5), strict=True):
        row["validation"] = {"score": score, "loss": 1 - score, "n": 100}
    return rows


def test_a_suite_tuned_by_another_suite_shows_those_trials(monkeypatch):
    loaded = []
    monkeypatch.setattr(analysis, "load_rows", lambda suite: loaded.append(suite) or (grid(), "somewhere"))
    results = Results.of([made.row("adam", lr=1e-4), made.row("zero-shot")])
    table = analysis.analyze("real", results).tables["trials"].table
    assert loaded == ["real-grid"]
    assert (table["trials"].iloc[0], table["chosen"].iloc[0]) == ("3", "lr 0.0001")
    assert analysis.analyze("quick", results).tables["trials"].table["trials"].iloc[0] == "1"


def test_the_memory_table_has_predicted_and_measured_peaks(monkeypatch, tmp_path):
    rows = [made.row("adam"), made.row("mezo")]
    monkeypatch.setattr(analysis, "predicted_peaks", lambda rows: {rows[0]["id"]: 123})
    build.write_tables("demo", Results.of(rows), tmp_path)
    with (tmp_path / "results/tables/demo/memory.csv").open() as file:
        lines = {line["label"]: line for line in csv.DictReader(file)}
    assert (lines["Adam"]["predicted_peak_bytes"], lines["MeZO"]["predicted_peak_bytes"]) == ("123.0", "")
    assert lines["Adam"]["peak_bytes"] == f"{float(rows[0]['peak_bytes'])}"
