"""Tests of the command line: its output, its exit codes, and a sweep in a fresh copy of the repository."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import uuid

import pytest
import torch

from benchmarks import registry, studies
from benchmarks.cli import COMMANDS, main
from benchmarks.cli.listing import HEADINGS
from benchmarks.results import store
from benchmarks.sweep import cost_sources
from tests import processes

SIZES = ["--train-rows=12", "--validation-rows=4", "--test-rows=4"]
ROWS = [*SIZES, "--evaluations=1"]
RUN = ["run", "--model", "nano-opt", "--task", "sst2", "--data", "builtin"]
ADDAX = [*RUN, "--method", "addax"]


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("ADDAX_DATA", raising=False)


@pytest.fixture
def suite():
    """Return the name of a new suite, and remove its folder in `results/runs` afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    shutil.rmtree(store.folder(name), ignore_errors=True)


@pytest.mark.process
def test_list_names_everything_without_torch():
    code = (
        "import sys; from benchmarks.__main__ import main; code = main(['list']); "
        "sys.exit(code or len({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=registry.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for kind, heading in HEADINGS.items():
        start = lines.index(heading)
        for name in registry.files(kind):
            line = next(line for line in lines[start:] if line.split()[:1] == [name])
            assert line.split(maxsplit=1)[1] == registry.summary(kind, name)
    assert "nano-llama" in done.stdout
    assert "smollm2-135m" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS if name != "study")])
def test_help_needs_neither_torch_nor_pandas(words):
    code = (
        "import contextlib, sys; from benchmarks.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({words!r})\n"
        "sys.exit(len({'torch', 'transformers', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=registry.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "usage: python -m benchmarks" in done.stdout


def test_the_help_of_a_run_shows_every_field_and_the_settings_of_its_method(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--method", "mezo-svrg", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option in (
        "--length-threshold",
        "--forward-equivalents",
        "--trainable",
        "--lr-ratio",
        "--zo-batch-size",
    ):
        assert option in text
    assert "--alpha" not in text
    assert "q, the number of steps from one full-batch step to the next (default: 2)" in text


@pytest.mark.parametrize(
    "name", ["mezo-svrg", "sst2", "opt", "nano-opt", "quick", "opt-13b-tiny", "step-speed"]
)
def test_list_explains_a_name_with_an_example_command(capsys, name):
    assert main(["list", name]) == 0
    out = capsys.readouterr().out
    assert name in out.splitlines()[0]
    assert "example: python -m benchmarks " in out or name == "opt"
    assert ("--anchor-every" in out) == (name == "mezo-svrg")


def test_a_study_prints_its_table_and_saves_its_rows_only_with_save(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "REFERENCE", tmp_path)
    study = dataclasses.replace(
        studies.load("step-speed"), measure=lambda given, say: [{"part": given.shape}]
    )
    study = dataclasses.replace(study, table=lambda rows: f"table of {rows[0]['part']}")
    monkeypatch.setattr(studies, "load", lambda name: study)
    assert main(["study", "step-speed", "--shape", "opt-350m"]) == 0
    assert capsys.readouterr().out == "table of opt-350m\n"
    assert list(tmp_path.iterdir()) == []
    assert main(["study", "step-speed", "--save"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["step-speed.jsonl"]
    assert "python -m benchmarks docs" in capsys.readouterr().out


@pytest.mark.medium
@pytest.mark.parametrize("method", ["mezo", "zero-shot"])
def test_a_run_writes_its_row_and_prints_its_score(capsys, suite, method):
    budget = [] if method == "zero-shot" else ["--steps", "2", "--lr", "1e-4", "--evaluations", "1"]
    code = main([*RUN, "--method", method, "--suite", suite, "--seed", "3", *SIZES, *budget])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    (row,) = store.read_suite(suite)
    assert f"results/runs/{suite}/{row['id']}.json" in out
    scores = f"test accuracy {row['score']:.3f} (majority {row['majority']:.3f}, n = 4, step"
    assert f"{row['label']} on SST-2: {scores}" in out
    assert row["config"]["seed"] == 3
    assert row["suite"] == suite
    assert row["steps"] == (0 if method == "zero-shot" else 2)


@pytest.mark.medium
def test_a_run_with_a_threshold_prints_the_scores_on_long_and_on_short_rows(capsys, suite):
    sizes = ["--train-rows", "20", "--validation-rows", "4", "--test-rows", "12"]
    words = ["run", "--model", "nano-opt", "--task", "boolq-long", "--method", "zero-shot", "--suite", suite]
    assert main([*words, "--long-above", "78", *sizes]) == 0
    out = capsys.readouterr().out
    (row,) = store.read_suite(suite)
    long, short = row["test_long"], row["test_short"]
    assert long["n"] + short["n"] == row["test"]["n"] == 12
    for part, score in (("long", long), ("short", short)):
        majority = f"majority {row[f'majority_{part}']:.3f}"
        assert f"{part} rows {score['score']:.3f} ({majority}, n = {score['n']})" in out


def test_a_failed_run_writes_its_row_and_exits_with_1(capsys, suite):
    words = [*ROWS, "--lr", "1e30", "--steps", "40"]
    code = main([*RUN, "--method", "sgd", "--suite", suite, *words])
    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith("failed: ")
    assert err.count("\n") == 1
    (row,) = store.read_suite(suite)
    assert row["status"] == "failed"
    assert row["steps"] < 40


def test_the_data_folder_is_set_by_an_option_or_the_environment(capsys, suite, tmp_path, monkeypatch):
    folder = tmp_path / "sst2"
    folder.mkdir()
    for split, n in (("train", 20), ("validation", 6)):
        lines = [json.dumps({"sentence": f"a film of {i} minutes", "label": i % 2}) for i in range(n)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    words = ["run", "--model", "nano-opt", "--task", "sst2", "--method", "zero-shot", "--suite", suite]
    assert main([*words, "--data", str(tmp_path), *SIZES]) == 0
    monkeypatch.setenv("ADDAX_DATA", str(tmp_path))
    assert main([*words, *SIZES]) == 0
    # The path of the folder is not part of a run's identity.
    (row,) = store.read_suite(suite)
    assert row["config"]["data"] == "folder"
    capsys.readouterr()
    (folder / "train.jsonl").write_text('{"sentence": "fine", "label": 1}\n{"sentence": "broken"\n')
    assert main([*words, *SIZES]) == 2
    err = capsys.readouterr().err
    assert f"{folder / 'train.jsonl'}, line 2" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_a_one_line_error(capsys):
    assert main([*ADDAX, "--device", "cuda:0"]) == 2
    assert "torch finds no GPU" in capsys.readouterr().err


def test_a_dry_run_lists_the_runs_and_starts_nothing(untimed, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "RUNS", tmp_path)
    # The suite `quick` uses built-in rows, so it ignores ADDAX_DATA.
    monkeypatch.setenv("ADDAX_DATA", str(tmp_path))
    words = ["--only", "model=nano-opt,nano-llama", "task=sst2"]
    assert main(["sweep", "quick", "--dry-run", *words]) == 0
    *lines, time, space, last = capsys.readouterr().out.splitlines()
    assert time.startswith("time: 28 runs not timed")
    assert space.startswith("downloads: none; checkpoints: up to 1")
    assert last == "quick: 28 runs to do, 0 already finished"
    assert len({line.split()[0] for line in lines}) == 28
    assert {line.split()[1] for line in lines} == {"nano-opt", "nano-llama"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_a_dry_run_times_steps_in_a_process_of_its_own(capsys, monkeypatch, tmp_path):
    """It leaves no row and no checkpoint, and the second one starts no process."""
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path / "cache"))
    words = ["sweep", "quick", "--dry-run", "--jobs", "1"]
    words += ["--only", "model=nano-opt", "task=sst2", "method=addax"]
    assert main(words) == 0
    *_, time, space, last = first = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"time: about \S+ (s|min) with 1 job \(1 kind of runs: 1 timed\)", time)
    assert space.startswith("downloads: none; checkpoints: up to 2.2 MB at a time; ")
    assert last == "quick: 3 runs to do, 0 already finished"
    assert not (tmp_path / "runs").exists()
    assert [file.parent.name for file in (tmp_path / "cache").rglob("*.json")] == ["timing"]
    monkeypatch.setattr(cost_sources, "LocalExecutor", None)
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[:-2] == first[:-2]


SUITE = '''"""Three small runs."""

from benchmarks.config.spec import from_dict

TINY = {"model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 1, "evaluations": 1,
        "train_rows": 8, "validation_rows": 4, "test_rows": 4}


def specs():
    """The second run fails, because no example is longer than 150 tokens."""
    return [from_dict({"method": m, **TINY, **fields})
            for m, fields in (("sgd", {}), ("addax", {"length_threshold": 150}), ("mezo", {}))]
'''


@pytest.mark.process
def test_a_sweep_in_a_fresh_copy(tmp_path):
    """A sweep with two workers writes a row for a failed run. A later sweep skips current finished runs."""
    for name in ("addax", "baselines", "benchmarks"):
        shutil.copytree(registry.ROOT / name, tmp_path / name)
    (tmp_path / "benchmarks" / "suites" / "tiny.py").write_text(SUITE)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def command(*words):
        words = ["-m", "benchmarks", *words, "--data", "builtin", "--device", "cpu"]
        done = processes.python(*words, cwd=tmp_path, env=environment)
        assert done.stderr == ""
        return done.returncode, done.stdout

    code, out = command("sweep", "tiny", "--jobs", "2")
    assert code == 1, out
    assert "tiny: 3 runs to do, 0 already finished" in out
    assert "failed: nano-opt sst2 Addax: task sst2" in out
    files = sorted((tmp_path / "results" / "runs" / "tiny").glob("*.json"))
    rows = [json.loads(file.read_text()) for file in files]
    assert sorted((row["label"], row["status"]) for row in rows) == [
        ("Addax", "failed"),
        ("MeZO", "done"),
        ("SGD", "done"),
    ]
    code, out = command("sweep", "tiny", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "tiny: 1 runs to do, 2 already finished")
    reference = tmp_path / "results" / "reference"
    reference.mkdir()
    (reference / "tiny.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Committed rows never count as finished. Neither do rows whose sources have changed, here those of SGD.
    with (tmp_path / "baselines" / "sgd.py").open("a") as source:
        source.write("CHANGED = True\n")
    code, out = command("sweep", "tiny", "--dry-run")
    again = "(1 again, because their data, their task, or other code has changed)"
    assert (code, out.splitlines()[-1]) == (0, f"tiny: 2 runs to do {again}, 1 already finished")
