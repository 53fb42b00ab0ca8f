"""Tests of the command `compare`: trials, runs, tables, and figures; continuation, and shards."""

import functools
import json
import re

import pytest

from benchmarks import registry, suites
from benchmarks.cli import build_parser, compare, main
from benchmarks.compare import rates
from benchmarks.compare.suite_files import Comparison
from benchmarks.report import analysis
from benchmarks.report import build as report
from benchmarks.results import store
from benchmarks.sweep import local, scheduler
from tests.benchmarks.sweep.inline import Inline

SIZES = ["--train-rows", "16", "--validation-rows", "8", "--test-rows", "8", "--evaluations", "1"]
COMPARE = [
    "compare", "--model", "nano-opt", "--task", "sst2", "--data", "builtin", "--device", "cpu", "--methods",
    "mezo,adam", "--budget", "forward-equivalents=64", "--seeds", "2", "--name", "mine", *SIZES,
]  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Write all results below a temporary folder, and run the runs in this process."""
    runs = tmp_path / "results" / "runs"
    monkeypatch.setattr(store, "RUNS", runs)
    monkeypatch.setattr(registry, "RUNS", runs)
    monkeypatch.setattr(local, "LocalExecutor", lambda jobs, cards: Inline())
    monkeypatch.setattr(report, "write_report", functools.partial(report.write_report, root=tmp_path))
    monkeypatch.setattr(analysis, "load_rows", functools.partial(analysis.load_rows, root=tmp_path))
    return tmp_path


def rows(root, suite):
    files = sorted((root / "results" / "runs" / suite).glob("*.json"))
    return {file: json.loads(file.read_text()) for file in files}


def test_a_dry_run_prints_the_plan_and_writes_nothing(untimed, root, capsys):
    assert main([*COMPARE, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"{2 * rates.TRIALS} trials ({rates.TRIALS} per method), then 4 runs (2 per method)" in out
    assert "time: " in out
    assert "downloads: none; checkpoints: up to " in out
    assert "2 methods with 2 seeds cannot differ significantly, whatever their scores; with --seeds 6" in out
    assert main([*COMPARE, "--dry-run", "--seeds", "6"]) == 0
    assert "significant" not in capsys.readouterr().out
    assert main([*COMPARE, "--print-suite"]) == 0
    assert 'TRIALS = "mine-trials"' in capsys.readouterr().out
    assert list(root.iterdir()) == []


def test_rows_of_the_hub_are_those_of_the_hub_although_a_folder_is_set(root, monkeypatch):
    """ADDAX_DATA replaces the hub only where no command names it."""
    monkeypatch.setenv("ADDAX_DATA", str(root))
    arguments = {"seeds": 1}
    common = {"model": "nano-opt", "task": "sst2", "data": "hub", "device": "cpu", "steps": 1}
    Comparison("mine", "About.", arguments, "hub", common, {"mezo": {}}, {"mezo": 1e-3}, 1, {}).write()
    swept = []

    class Stop(Exception):
        pass

    def sweep(suite, specs, **_):
        swept.append((suite, {spec.data for spec in specs}, [spec.id for spec in specs]))
        raise Stop

    monkeypatch.setattr(scheduler, "sweep", sweep)
    args = build_parser(COMPARE).parse_args(COMPARE)
    with pytest.raises(Stop):
        compare.run("mine", args)
    assert swept == [("mine-trials", {"hub"}, [spec.id for spec in suites.load("mine-trials")])]


def test_chosen_columns_give_a_comparison_of_its_own(untimed, root, capsys):
    file = root / "reviews.csv"
    file.write_text(
        "text,tone,topic\n" + "a long film about nothing,good,film\nsome short book here,bad,book\n" * 40
    )
    words = [*COMPARE[:3], "--data", str(file), *COMPARE[7 : -2 - len(SIZES)], *SIZES, "--print-suite"]
    texts = []
    for label in ("tone", "topic"):
        assert main([*words, "--label", label]) == 0
        texts.append(capsys.readouterr().out)
    names = [re.search(r"TRIALS = \"(.*?)-trials\"", text)[1] for text in texts]
    assert names[0] != names[1]
    assert "tone/reviews.toml" in texts[0]
    assert "topic/reviews.toml" in texts[1]


@pytest.mark.slow
def test_compare_runs_trials_then_seeds_and_continues(root, capsys):
    assert main(COMPARE) == 0
    out = capsys.readouterr().out
    assert "mine-trials: 6 runs to do, 0 already finished" in out
    assert "mine-trials: 4 runs to do, 6 already finished" in out
    assert "mine: 6 runs to do, 0 already finished" in out
    trials, runs = rows(root, "mine-trials"), rows(root, "mine")
    for method in ("mezo", "adam"):
        own = [row for row in trials.values() if row["config"]["method"] == method]
        assert len({row["config"]["settings"]["lr"] for row in own}) == rates.TRIALS
        best = max(own, key=lambda row: (row["validation"]["score"], -row["validation"]["loss"]))
        chosen = {r["config"]["settings"]["lr"] for r in runs.values() if r["config"]["method"] == method}
        assert chosen == {best["config"]["settings"]["lr"]}
    assert {row["config"]["forward_equivalents"] for row in trials.values()} == {64}
    tables = root / "results" / "tables" / "mine"
    assert "| 5 " in (tables / "trials.md").read_text()
    assert "Comparison of mezo and adam with nano-opt on SST-2" in (tables / "report.html").read_text()
    assert (root / "plots" / "figures" / "mine" / "tradeoff-nano-opt.png").exists()

    # A lost trial is run again. The runs of the comparison stay.
    lost = next(iter(trials))
    lost.unlink()
    assert main(COMPARE) == 0
    out = capsys.readouterr().out
    assert "mine-trials: 1 runs to do" in out
    assert "mine-trials: 0 runs to do, 10 already finished" in out
    assert "mine: 0 runs to do, 6 already finished" in out
    assert rows(root, "mine") == runs
    assert lost.exists()


@pytest.mark.slow
def test_shards_share_the_trials_and_the_runs_of_a_csv_file(root, capsys):
    file = root / "reviews.csv"
    rows_of_file = [f"the film was {i} minutes long,{('terrible', 'great')[i % 2]}" for i in range(60)]
    file.write_text("\n".join(["text,verdict", *rows_of_file]) + "\n")
    command = [*COMPARE[:3], "--data", str(file), *COMPARE[7:]]

    def shard(part):
        assert main([*command, "--shard", f"{part}/2"]) == 0
        return capsys.readouterr().out

    assert "other shards have not finished the trials" in shard(1)
    assert len(rows(root, "mine-trials")) == 3
    # The second shard finishes the first trials, so both shards know the last ones.
    assert "other shards have not finished the trials" in shard(2)
    assert "mine: 3 runs to do" in shard(1)
    assert "mine: 3 runs to do" in shard(2)
    assert len(rows(root, "mine-trials")) == 2 * rates.TRIALS
    assert len(rows(root, "mine")) == 6
    assert {row["task_title"] for row in rows(root, "mine").values()} == {"reviews"}
    assert main(command) == 0
    assert "mine: 0 runs to do, 6 already finished" in capsys.readouterr().out
