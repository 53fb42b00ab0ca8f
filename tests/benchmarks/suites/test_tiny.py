"""Tests of small variants of the papers' suites from end to end: one run per label, then the tables."""

import pytest

from benchmarks import suites
from benchmarks.config import labels
from benchmarks.config.names import ZERO_SHOT
from benchmarks.report import build as report
from benchmarks.results import store
from benchmarks.results.frame import Results
from benchmarks.sweep import worker as work

# Together these suites cover both heads, shots, demonstrations, adapters, prefixes, last layers, a memory
# budget for L_T, and the released arithmetic. Suite -> the beginning of the labels to run.
NAMES = {
    "ablations-opt-13b": "Addax",
    "mezo-opt-13b": ("ICL", "MeZO (prefix)"),
    "mezo-roberta": "",
    "svrg": "",
}


def first_run_of_each_label(name):
    """Return the first run of each label of a small variant, among the labels to run."""
    found = {}
    for spec in suites.load(f"{name}-tiny"):
        if labels.label(spec).startswith(NAMES[name]):
            found.setdefault(labels.label(spec), spec)
    return list(found.values())


@pytest.mark.medium
@pytest.mark.slow_except("mezo-opt-13b", "mezo-roberta", "svrg")
@pytest.mark.parametrize("name", NAMES)
def test_every_label_of_a_tiny_suite_runs_and_is_listed_with_published_numbers(name, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path / "results" / "runs")
    specs = first_run_of_each_label(name)
    for spec in specs:
        outcome = work.run_spec(spec, suite=f"{name}-tiny", folder=None, jobs=1, wandb="disabled")
        assert outcome.status == "done", outcome.reason
    rows = [store.read_row(file) for file in sorted(store.folder(f"{name}-tiny").glob("*.json"))]
    assert {row["id"] for row in rows} == {spec.id for spec in specs}
    report.write_tables(f"{name}-tiny", Results.of(rows), tmp_path)
    folder = tmp_path / "results" / "tables" / f"{name}-tiny"
    printed = (folder / "published.md").read_text()
    assert all(f"{row['label']} " in printed for row in rows if row["config"]["method"] != ZERO_SHOT)
    assert "Settings of this suite" in (folder / "stated.md").read_text()
