"""Tables say what the rows say: means, deviations, order, bold, failures, provenance."""

import csv
import dataclasses
import io
import json
import re
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console

from benchmarks import docs as readme
from benchmarks import registry
from benchmarks.config import labels
from benchmarks.errors import UserError
from benchmarks.report import build as report
from benchmarks.report.analysis import analyse
from benchmarks.results import store
from tests.benchmarks.results import result_rows as made


def cells(markdown):
    """The lines of every pipe table: list of lists of stripped texts, rules left out."""
    lines = [
        line for line in markdown.splitlines() if line.startswith("|") and not re.match(r"\|[:-]+\|", line)
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@cache
def tables(text):
    """The files that rows, as JSON, are written to: name -> text. Several tests read the same ones."""
    with TemporaryDirectory() as folder:
        files = report.write_tables("demo", json.loads(text), Path(folder))
        return {file.name: file.read_text(encoding="utf-8") for file in files}


def written(rows, name):
    return tables(json.dumps(rows))[name]


def scores(rows, label, task):
    return [100 * r["score"] for r in rows if r["label"] == label and r["config"]["task"] == task]


@pytest.fixture(scope="module")
def nine():
    """One seed of everything on two models; SGD out of memory, MeZO failed and MeZO-SVRG killed on a task."""
    gone = {("sgd", "record"): "OOM", ("mezo", "cb"): "failed", ("mezo-svrg", "multirc"): "killed"}
    rows = []
    for row in made.suite(models=("nano-opt", "nano-llama")):
        config = row["config"]
        status = gone.get((config["method"], config["task"]))
        known = (config["method"], config["task"], config["model"])
        rows.append(made.row(*known, status=status, reason=f"it {status}") if status else row)
    return [*rows, made.row(task="boolq", label="Addax-WA", length_threshold=None)]


def test_every_file_is_written(nine, tmp_path):
    files = report.write_tables("demo", nine, tmp_path)
    stems = ("score", "memory", "time", "methods", "intervals", "pairs", "ranks", "trials")
    names = {f"{stem}.{kind}" for stem in stems for kind in ("md", "csv", "tex")}
    assert {file.relative_to(tmp_path / "results/tables/demo").as_posix() for file in files} == names
    assert all(file.read_text(encoding="utf-8").strip() for file in files)


def test_zero_shot_is_no_method_beside_runs_of_other_dtypes():
    rows = [made.row(method, seed=seed) for method in ("zero-shot", "mezo", "adam") for seed in (0, 1)]
    for row in rows[:4]:
        row["config"]["dtype"] = "bfloat16"
    assert [line[1] for line in cells(written(rows, "ranks.md"))[1:]] == ["Adam", "MeZO bfloat16"]
    assert {line[1:3] for line in map(tuple, cells(written(rows, "time.md"))) if line[0] == "zero-shot"} == {
        ("–", "–")
    }


@pytest.mark.parametrize(
    ("peaks", "texts"),
    [
        ((144_400_000, 952_000_000), ("144.4", "952.0")),
        ((144_400_000, 7_660_000_000), ("0.14", "7.66")),
        ((44_400_000, 7_660_000_000), ("0.044", "7.660")),
        ((1_700_000_000, 27_660_000_000), ("1.7", "27.7")),
    ],
)
def test_the_smallest_memory_keeps_its_digits_beside_the_largest(peaks, texts):
    rows = [made.row(m) | {"peak_bytes": peak} for m, peak in zip(("mezo", "adam"), peaks, strict=True)]
    for name, at in (("memory.md", 1), ("methods.md", -1)):
        assert tuple(line[at] for line in cells(written(rows, name))[1:]) == texts


def test_rows_and_columns_stand_in_the_fixed_order(nine):
    table = cells(written(nine[::-1], "score.md"))
    assert table[0] == ["method", *made.TITLES.values(), "mean"]
    llama, opt = table[1:8], table[9:]
    order = ["zero-shot", "Addax", "MeZO", "MeZO-SVRG", "IP-SGD", "SGD", "Adam"]
    assert [line[0] for line in llama] == order
    assert [line[0] for line in opt] == [*order[:2], "Addax-WA", *order[2:]]


@pytest.mark.parametrize(
    ("name", "field", "scale"),
    [("score", "score", 100), ("memory", "peak_bytes", 1e-6), ("time", "train_seconds_to_best", 1 / 60)],
)
def test_entries_are_the_rows_numbers(nine, name, field, scale):
    if name == "time":  # past ten minutes: the table is in minutes
        nine = [dict(row) for row in nine]
        for row in nine:
            row[field] = row[field] and 10 * row[field]
    text = written(nine, f"{name}.md")
    assert {"score": "(%)", "memory": "(MB)", "time": "(min)"}[name] in text.splitlines()[0]
    opt = {line[0]: line[1:] for line in cells(text)[9:]}
    for label in ("Adam", "IP-SGD"):
        own = [r for r in nine if r["label"] == label and r["config"]["model"] == "nano-opt"]
        told = [scale * r[field] for t in made.TITLES for r in own if r["config"]["task"] == t]
        assert opt[label] == [f"{value:.1f}" for value in [*told, mean(told)]]


def test_failures_are_named_and_leave_no_mean(nine):
    for name in ("score", "memory", "time"):
        opt = {line[0]: line[1:] for line in cells(written(nine, f"{name}.md"))[9:]}
        assert (opt["SGD"][7], opt["MeZO"][2], opt["MeZO-SVRG"][6]) == ("OOM", "failed", "killed")
        assert opt["SGD"][9] == opt["MeZO"][9] == opt["Addax-WA"][9] == report.NONE
        assert sum(entry != report.NONE for entry in opt["Addax-WA"]) == 1


def test_zero_shot_has_no_training_time(nine):
    table = {line[0]: line[1:] for line in cells(written(nine, "time.md"))}
    assert set(table["zero-shot"]) == {report.NONE}


def of_scores(scores, task="sst2", model="nano-opt"):
    """Rows of methods whose test scores are given, a seed a score."""
    return [
        made.row(method, task, model, seed) | {"score": score}
        for method, own in scores.items()
        for seed, score in enumerate(own)
    ]


def test_seeds_give_mean_and_deviation():
    rows = made.suite(seeds=range(3), tasks=("rte", "sst2"))
    text = written(rows, "score.md")
    table = {line[0]: line[1:] for line in cells(text)}
    for column, task in enumerate(("sst2", "rte")):
        for label in set(table) - {"method", "zero-shot"}:
            values = scores(rows, label, task)
            assert table[label][column] == f"{mean(values):.1f} ± {stdev(values):.1f}"
    assert "of 3 seeds" in text
    assert "No method is bold" in text
    assert "n = 3 a task; with fewer than 6 no such test can reach 5 %" in text
    assert "**" not in text.replace("**nano-opt**", "")


def test_only_a_winner_that_the_test_supports_is_bold():
    """Three methods, eight seeds: p is 2 / 2^8 at least, of three pairs 0.023; far more where signs mix."""
    ends = [0.001 * k for k in range(8)]
    clear = {
        "addax": [0.9 + e for e in ends],
        "adam": [0.8 + e for e in ends],
        "mezo": [0.7 + e for e in ends],
    }
    mixed = clear | {"addax": [0.8 + (-1) ** k * 0.01 for k in range(8)], "adam": [0.8] * 8}
    rows = [*of_scores(clear), *of_scores(mixed, "rte")]
    text = written(rows, "score.md")
    table = {line[0]: line[1:] for line in cells(text)}
    assert [table[label][0].startswith("**") for label in ("Addax", "Adam", "MeZO")] == [True, False, False]
    assert not any(table[label][1].startswith("**") for label in ("Addax", "Adam", "MeZO"))
    # Over both tasks Addax is ahead of Adam by 0.05 on average, in 12 of 16 pairs.
    assert table["Addax"][2] == "**85.2**"
    assert "Bold: better than every other trained method at 5 %" in text
    assert "n = 8 a task" in text
    assert written(rows, "score.tex").count(r"\textbf{") == 2
    assert "**" not in written(rows, "memory.md").replace("**nano-opt**", "")


def test_five_clear_seeds_make_no_winner():
    rows = of_scores({"addax": [0.99] * 5, "mezo": [0.5] * 5})
    text = written(rows, "score.md")
    assert "99.0 ± 0.0" in text
    assert "**99" not in text
    rows = of_scores({"addax": [0.99] * 6, "mezo": [0.5] * 6})
    assert "**99.0 ± 0.0**" in written(rows, "score.md")


def test_csv_holds_the_unrounded_numbers(nine):
    lines = list(csv.DictReader(io.StringIO(written(nine, "score.csv"))))
    told = {(r["config"]["model"], r["config"]["task"], r["label"]): r["score"] for r in nine}
    assert {
        (x["model"], x["task"], x["label"]): float(x["score"]) if x["score"] else None for x in lines
    } == told
    assert {x["outcome"] for x in lines} == {"done", "failed", "OOM", "killed"}


def test_latex_is_balanced_and_escaped(nine):
    rows = [json.loads(json.dumps(row).replace("nano-opt", "nano_opt")) for row in nine]
    text = written(rows, "score.tex")
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") for line in lines} == {10}
    assert len(lines) == 1 + 7 + 8
    assert r"nano\_opt" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 2, 1]
    body = text[text.index(r"\begin") : text.index(r"\end")]
    assert not re.search(r"(?<!\\)[%_#]", body)


def test_method_table_drops_what_is_the_same_in_every_row():
    rows = [made.row(m, "sst2", "smollm2-135m") for m in ("zero-shot", "addax", "adam")]
    head, zero, addax, adam = cells(readme.method_table(rows))
    assert head == ["method", "score (%)", "AUC", "loss", "lr", "steps", "time (s)", "memory (MB)"]
    assert [zero[0], *zero[4:7]] == ["zero-shot", *[report.NONE] * 3]
    assert addax[0] == "Addax"
    row = rows[2]
    numbers = [100 * row["score"], row["test"]["auc"], row["test"]["loss"], row["train_seconds_to_best"]]
    told = [f"{n:.{d}f}" for n, d in zip(numbers, (1, 3, 3, 1), strict=True)]
    assert adam == ["Adam", *told[:3], "0.001", "200", told[3], "12.4"]


def test_steps_of_a_run_with_a_budget_of_seconds_are_those_it_took():
    row = made.row("adam")
    row["config"] |= {"steps": None, "seconds": 30.0}
    assert cells(readme.method_table([row]))[1][5] == "200"


def test_provenance_names_all_that_differs():
    one, two = made.row("adam"), made.row("mezo", status="failed")
    two["git_commit"], two["git_dirty"], two["config"]["data"] = "fedcba9876543210", True, "hub"
    two["started"], two["ended"] = "2026-04-02T00:00:00", "2026-04-03T00:00:00"
    line = readme.provenance([one, two])
    for fact in (
        "1 of 2 done",
        "0123456, fedcba9+changes",
        "builtin, hub",
        "torch 2.13.0",
        "2026-03-01 to 2026-04-03",
    ):
        assert fact in line
    assert "\n" not in line


def test_provenance_names_what_did_not_fit():
    small = made.row("sgd", "multirc")
    tried = [{"fo_batch_size": size, "eval_batch_size": 32} for size in (8, 4)]
    small |= {"batch_sizes": {"fo_batch_size": 2, "eval_batch_size": 32}, "batch_sizes_tried": tried}
    line = readme.provenance([small, made.row("adam", status="OOM") | {"batch_sizes_tried": tried}])
    assert "1 of 2 done; out of memory: 1; " in line
    assert "batches halved to fit: SGD on MultiRC (fo_batch_size 8 to 2);" in line
    assert "halved" not in readme.provenance([made.row("adam")])


def test_summary_fits_eighty_columns_and_names_failures(nine):
    out = io.StringIO()
    report.print_summary(analyse("quick", nine), Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "OOM: SGD on ReCoRD, nano-opt" in text
    assert "failed: MeZO on CB, nano-llama" in text
    assert "No method is bold" in " ".join(text.split())
    adam = next(line for line in text.splitlines() if line.lstrip().startswith("Adam")).split()
    own = [r for r in nine if r["label"] == "Adam" and r["config"]["model"] == "nano-llama"]
    assert adam[1:10] == [f"{100 * r['score']:.1f}" for r in own]
    assert adam[10] == f"{mean(100 * r['score'] for r in own):.1f}"
    assert adam[12] == f"{sum(r['train_seconds_to_best'] for r in own):.0f}"


def test_a_summary_wider_than_the_terminal_is_not_cut(nine):
    out = io.StringIO()
    long = made.row("ip-sgd", label="IP-SGD (checkpointing)")
    long["config"] |= {"gradient_checkpointing": True, "dtype": "bfloat16"}
    report.print_summary(analyse("quick", [*nine, long]), Console(file=out, width=80))
    text = out.getvalue()
    assert "IP-SGD (checkpointing) bfloat16" in text
    assert "…" not in text
    heading = next(line for line in text.splitlines() if line.lstrip().startswith("method"))
    assert heading.split() == ["method", *made.TITLES.values(), "mean", "MB", "s"]


def test_no_rows_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="sweep demo"):
        report.write_tables("demo", [], tmp_path)


def test_report_rebuilds_tables_and_figures_from_files(tmp_path, capsys):
    reference = tmp_path / "results/reference"
    reference.mkdir(parents=True)
    rows = [*made.suite(tasks=("sst2",)), *made.k0_sweep()]
    (reference / "demo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report.write_all("demo", root=tmp_path)
    said = capsys.readouterr().out
    assert f"{len(rows)} rows from results/reference/demo.jsonl" in said
    figures = {file.name for file in (tmp_path / "plots/figures/demo").iterdir()}
    kinds = ("steps", "seconds", "examples", "forward-equivalents")
    stems = {"figure1", "k0_sweep", *(f"convergence-nano-opt-{x}" for x in kinds)}
    told = {stem if "-" in stem else f"{stem}-nano-opt" for stem in stems}
    assert figures == {f"{stem}.{kind}" for stem in told for kind in ("png", "pdf")}
    assert (tmp_path / "results/tables/demo/score.md").exists()
    with pytest.raises(UserError, match="no runs of 'demo' on this machine"):
        report.write_all("demo", commit_reference=True, root=tmp_path)


def row_of(spec, **changes):
    """A finished row of a spec, at other data or on another device."""
    spec = dataclasses.replace(spec, **changes)
    row = made.row(spec.method, spec.task, spec.model)
    return row | {"id": spec.id, "config": spec.config(), "label": labels.label(spec)}


@pytest.fixture
def quick(tmp_path):
    """Rows of suite `quick`: Adam's, SGD's on other data and device, MeZO's and Addax's of old settings."""
    specs = {
        spec.method: spec
        for spec in registry.module("suite", "quick").specs()
        if (spec.model, spec.task) == ("nano-opt", "rte" if spec.method == "sgd" else "sst2")
    }
    addax = specs["addax"]
    rows = {
        "now": row_of(specs["adam"]),
        "elsewhere": row_of(specs["sgd"], data="hub", device="cuda:1"),
        "steps": row_of(specs["mezo"], steps=specs["mezo"].steps + 1),
        "setting": row_of(addax, set=dict(addax.settings) | {"lr": 0.123}),
    }
    folder = tmp_path / "results/runs/quick"
    folder.mkdir(parents=True)
    for name, row in rows.items():
        (folder / f"{name}.json").write_text(json.dumps(row))
    return rows


def test_rows_of_old_settings_never_mix_in(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE", tmp_path / "results/reference")
    report.write_all("quick", commit_reference=True, root=tmp_path)
    said = capsys.readouterr().out
    assert "2 rows from results/runs/quick" in said
    assert "2 more there are of settings that the suite no longer has" in said
    lines = (tmp_path / "results/reference/quick.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == {quick["now"]["id"], quick["elsewhere"]["id"]}
    with (tmp_path / "results/tables/quick/methods.csv").open() as file:
        assert {line["label"] for line in csv.DictReader(file)} == {"Adam", "SGD"}


def test_rows_of_old_settings_alone_are_refused(quick, tmp_path):
    for name in ("now", "elsewhere"):
        (tmp_path / f"results/runs/quick/{name}.json").unlink()
    with pytest.raises(UserError, match="the 2 rows in results/runs/quick are of other settings than suite"):
        report.write_all("quick", root=tmp_path)
    assert not (tmp_path / "results/tables").exists()


def test_rows_of_a_study_are_no_runs_to_report(tmp_path):
    reference = tmp_path / "results/reference"
    reference.mkdir(parents=True)
    (reference / "precision.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made.arithmetic()))
    with pytest.raises(UserError, match=r"precision\.jsonl holds no runs"):
        report.write_all("precision", root=tmp_path)
