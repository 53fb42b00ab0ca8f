"""Tests of building a report from rows that match the suite's current settings, in one or several folders."""

import csv
import json
import re

import pytest

from benchmarks import registry
from benchmarks.config import labels
from benchmarks.errors import UserError
from benchmarks.report import build
from benchmarks.results import select
from benchmarks.results.frame import Results
from benchmarks.results.row import write, write_lines
from plots import render
from tests.benchmarks.results import result_rows as made


@pytest.fixture
def undrawn(monkeypatch):
    """Skip the drawing of figures."""
    monkeypatch.setattr(render, "draw", lambda *_: {})


def folder_of(root, suite, rows):
    """Write rows to the folder of a suite's local runs, and return the folder."""
    folder = root / "results/runs" / suite
    folder.mkdir(parents=True)
    for i, row in enumerate(rows):
        write(folder / f"{i}.json", row)
    return folder


def test_no_rows_is_a_one_line_error(tmp_path):
    with pytest.raises(UserError, match="sweep demo"):
        build.write_tables("demo", Results.of([]), tmp_path)


def test_a_report_writes_tables_figures_and_a_page(tmp_path, capsys):
    reference = tmp_path / "results/reference"
    reference.mkdir(parents=True)
    rows = [*made.suite(tasks=("sst2",)), *made.k0_sweep()]
    write_lines(reference / "demo.jsonl", rows)
    build.write_report("demo", root=tmp_path)
    output = capsys.readouterr().out
    assert f"{len(rows)} rows from results/reference/demo.jsonl" in output
    assert output.endswith("open results/tables/demo/report.html\n")
    figures = {file.name for file in (tmp_path / "plots/figures/demo").iterdir()}
    assert figures == {
        "figure1-nano-opt.png",
        "convergence-nano-opt-steps.png",
        "tradeoff-nano-opt.png",
    }
    for name in ("score.md", "report.html"):
        assert (tmp_path / "results/tables/demo" / name).exists()
    with pytest.raises(UserError, match="no local runs of 'demo'"):
        build.write_report("demo", commit_reference=True, root=tmp_path)


@pytest.mark.medium
def test_a_report_selects_settings_once(tmp_path, monkeypatch):
    """Statistics, ranks, tables, page, and figures share one selection."""
    calls = []
    choose = select.select_best_setting
    monkeypatch.setattr(select, "select_best_setting", lambda runs: calls.append(1) or choose(runs))
    folder_of(tmp_path, "quick-of-mine", [*made.suite(tasks=("sst2", "rte", "cb", "wic")), *made.k0_sweep()])
    build.write_report("quick-of-mine", root=tmp_path)
    assert len(calls) == 1


def row_of(spec, **changes):
    """Return a finished row of a spec after changing some of its fields."""
    spec = spec.replace(**changes)
    row = made.row(spec.method, spec.task, spec.model)
    return row | {"id": spec.id, "config": spec.config(), "label": labels.label(spec)}


@pytest.fixture
def specs():
    """Return one spec of suite `quick` per method, on SST-2 except for SGD, which is on RTE."""
    return {
        spec.method: spec
        for spec in registry.module("suite", "quick").specs()
        if (spec.model, spec.task) == ("nano-opt", "rte" if spec.method == "sgd" else "sst2")
    }


@pytest.fixture
def quick(tmp_path, specs):
    """Write rows of suite `quick`.

    Adam's settings are current. SGD ran with other data on another device. MeZO and Addax have old settings.
    """
    rows = {
        "now": row_of(specs["adam"]),
        "elsewhere": row_of(specs["sgd"], data="hub", device="cuda:1"),
        "steps": row_of(specs["mezo"], steps=specs["mezo"].steps + 1),
        "setting": row_of(specs["addax"], lr=0.123),
    }
    folder_of(tmp_path, "quick", rows.values())
    return rows


def test_rows_with_old_settings_are_skipped(quick, tmp_path, capsys, undrawn):
    build.write_report("quick", commit_reference=True, root=tmp_path)
    output = capsys.readouterr().out
    assert "2 rows from results/runs/quick" in output
    assert "Skipped 2 rows whose settings are no longer part of this suite." in output
    lines = (tmp_path / "results/reference/quick.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == {quick["now"]["id"], quick["elsewhere"]["id"]}
    with (tmp_path / "results/tables/quick/methods.csv").open() as file:
        assert {line["label"] for line in csv.DictReader(file)} == {"Adam", "SGD"}


def test_a_report_does_not_change_the_readme(quick, tmp_path, undrawn):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table:quick:score -->\n<!-- /table:quick:score -->\n")
    build.write_report("quick", commit_reference=True, root=tmp_path)
    assert readme.read_text() == "<!-- table:quick:score -->\n<!-- /table:quick:score -->\n"


def test_only_rows_with_old_settings_is_an_error(quick, tmp_path):
    for i in (0, 1):
        (tmp_path / f"results/runs/quick/{i}.json").unlink()
    with pytest.raises(UserError, match="none of the 2 rows in results/runs/quick match the current"):
        build.write_report("quick", root=tmp_path)
    assert not (tmp_path / "results/tables").exists()


def test_missing_runs_are_counted_and_the_first_ones_named(quick, tmp_path, capsys, undrawn):
    build.write_report("quick", root=tmp_path)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Missing"))
    count = len(registry.module("suite", "quick").specs()) - 2
    assert re.fullmatch(
        rf"Missing {count} runs of the suite: (.* on .*, .*, seed \d; ){{3}}and {count - 3} more.", line
    )


def test_rows_of_a_study_are_not_reported(tmp_path):
    reference = tmp_path / "results/reference"
    reference.mkdir(parents=True)
    write_lines(reference / "precision.jsonl", made.precision())
    with pytest.raises(UserError, match=r"precision\.jsonl holds rows of a study"):
        build.write_report("precision", root=tmp_path)


def test_excluded_rows_are_listed_in_a_separate_file(tmp_path, capsys, undrawn):
    rows = [made.row(seed=s) for s in range(3)]
    rows[2]["config"] |= {"steps": 77}
    folder = folder_of(tmp_path, "mine", rows)
    build.write_report("mine", root=tmp_path)
    output = capsys.readouterr().out
    assert "2 rows from results/runs/mine" in output
    assert "Excluded 1 row with another budget. See excluded.md." in output
    page = tmp_path / "results/tables/mine/excluded.md"
    line = "| nano-opt | sst2 | Addax | 1 | budget | 77 steps | 400 steps |"
    assert line in re.sub(" +", " ", page.read_text())
    (folder / "2.json").unlink()
    build.write_report("mine", root=tmp_path)
    assert not page.exists()


def test_shards_are_joined_in_one_report(tmp_path, specs, capsys, undrawn):
    shards = [folder_of(tmp_path, name, [row_of(specs[m])]) for name, m in (("a", "adam"), ("b", "mezo"))]
    build.write_report("quick", root=tmp_path, rows_from=shards)
    output = capsys.readouterr().out
    assert f"2 rows from {shards[0]}, {shards[1]}" in output
    assert "Missing" in output
    with (tmp_path / "results/tables/quick/methods.csv").open() as file:
        assert {line["label"] for line in csv.DictReader(file)} == {"Adam", "MeZO"}
    write(shards[1] / "again.json", row_of(specs["adam"]) | {"score": 0.5})
    with pytest.raises(UserError, match=f"different rows of run {specs['adam'].id}, in .*a.* and .*b/again"):
        build.write_report("quick", root=tmp_path, rows_from=shards)
