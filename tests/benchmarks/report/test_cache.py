"""A report is made again where something that it is made of has changed, and only there."""

import json

import pytest

from benchmarks.report import build as report
from benchmarks.report import cache as _made
from tests.benchmarks.results import result_rows as made


@pytest.fixture
def reported(tmp_path, capsys, monkeypatch):
    """Makes the report of two rows in a folder: what it printed, and how many were drawn by then."""
    drawn = []
    monkeypatch.setattr(report, "draw", lambda *_: drawn.append(1) or {})
    monkeypatch.setattr(_made, "ROOT", tmp_path)
    runs = tmp_path / "results/runs/mine"
    runs.mkdir(parents=True)
    for seed in range(2):
        (runs / f"{seed}.json").write_text(json.dumps(made.row(seed=seed)))
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/figure.py").write_text("old")

    def report_it():
        report.write_all("mine", root=tmp_path)
        return capsys.readouterr().out, len(drawn)

    return report_it


def times(folder):
    return {file: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_nothing_is_made_again_of_what_has_not_changed(reported, tmp_path):
    said, _ = reported()
    before = times(tmp_path / "results/tables/mine")
    again, drawn = reported()
    told = "nothing has changed since these were made:\n"
    assert told in again
    assert again.replace(told, "") == said
    assert drawn == 1
    assert times(tmp_path / "results/tables/mine") == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("results/runs/mine/1.json", json.dumps(made.row(seed=1) | {"score": 0.125})),
        ("results/runs/mine/2.json", json.dumps(made.row(seed=2))),
        ("results/tables/mine/score.tex", None),
        ("results/tables/mine/report.html", "written over"),
        ("results/tables/mine/.made.json", '{"origin": "cut sho'),
        ("results/tables/mine/.made.json", "[]"),
        ("plots/figure.py", "new"),
    ],
)
def test_all_is_made_again_where_something_has_changed(file, text, reported, tmp_path):
    reported()
    tables = tmp_path / "results/tables/mine"
    before = times(tables)
    page = (tables / "report.html").read_text()
    changed = tmp_path / file
    changed.unlink() if text is None else changed.write_text(text)
    said, drawn = reported()
    assert drawn == 2
    assert "nothing has changed" not in said
    after = times(tables)
    assert after.keys() == before.keys()
    assert all(after[one] > before[one] for one in before)
    assert ((tables / "report.html").read_text() == page) == (not file.startswith("results/runs"))
    assert "nothing has changed" in reported()[0]


def test_a_report_that_was_cut_off_does_not_stand(reported, tmp_path, monkeypatch):
    monkeypatch.setattr(report.html, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        reported()
    assert not (tmp_path / "results/tables/mine/.made.json").exists()
