"""Tests that tables agree with the rows: means, deviations, order, bold entries, and failures."""

import csv
import io
import json
import math
import re
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import pytest
from scipy import stats

from benchmarks.report import build
from benchmarks.report.tables import NONE, long_table, pipe
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made


def method_table(rows):
    return pipe(long_table(Results.of(rows).means))


def cells(markdown):
    """Return the cells of all lines of all pipe tables, without the rules below headers."""
    lines = [
        line for line in markdown.splitlines() if line.startswith("|") and not re.match(r"\|[:-]+\|", line)
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@cache
def tables(text):
    """Write the tables of rows given as JSON, and return file name -> text; cached, as tests share rows."""
    with TemporaryDirectory() as folder:
        files = build.write_tables("demo", Results.of(json.loads(text)), Path(folder))
        return {file.name: file.read_text(encoding="utf-8") for file in files}


def written(rows, name):
    return tables(json.dumps(rows))[name]


def scores(rows, label, task):
    return [100 * r["score"] for r in rows if r["label"] == label and r["config"]["task"] == task]


def test_every_file_is_written(nine, tmp_path):
    files = build.write_tables("demo", Results.of(nine), tmp_path)
    stems = ("score", "memory", "time", "methods", "intervals", "pairs", "ranks", "trials", "costs")
    names = {f"{stem}.{kind}" for stem in stems for kind in ("md", "csv", "tex")}
    assert {file.relative_to(tmp_path / "results/tables/demo").as_posix() for file in files} == names
    assert all(file.read_text(encoding="utf-8").strip() for file in files)


def test_scores_by_length_have_tables_if_runs_have_a_threshold(tmp_path):
    rows = made.suite(seeds=(0, 1), tasks=("rte", "sst2"), methods=("addax", "mezo", "adam"))
    rows = [r for r in rows if r["label"] == "MeZO"] + made.with_lengths(
        [r for r in rows if r["label"] == "Addax"], 40
    ) + made.with_lengths([r for r in rows if r["label"] == "Adam"], 44)  # fmt: skip
    for part in ("long", "short"):
        text = written(rows, f"score-{part}.md")
        assert text.startswith(f"## Accuracy on {part} test rows (%)")
        table = {line[0]: line[1:] for line in cells(text)}
        for column, task in enumerate(("sst2", "rte")):
            values = [
                100 * r[f"test_{part}"]["score"]
                for r in rows
                if r["label"] == "Adam" and r["config"]["task"] == task
            ]
            assert table["Adam"][column] == f"{mean(values):.1f} ± {stdev(values):.1f}"
        assert table.keys() == {"method", "Addax", "Adam"}
        assert (
            "Long rows have more tokens than: SST-2 40 (Addax), 44 (Adam); RTE 40 (Addax), 44 (Adam)." in text
        )
        lines = csv.DictReader(io.StringIO(written(rows, f"score-{part}.csv")))
        assert {(x["label"], x["long_above_tokens"]) for x in lines} == {
            ("Addax", "40.0"), ("Adam", "44.0"),
        }  # fmt: skip
    folder = tmp_path / "results/tables/demo"
    build.write_tables("demo", Results.of(rows), tmp_path)
    assert (folder / "score-long.tex").exists()
    # A report of rows without a threshold removes the tables.
    build.write_tables("demo", Results.of([made.row()]), tmp_path)
    assert not [file for file in folder.iterdir() if "-" in file.stem]


def test_one_length_for_all_methods_is_stated_once():
    text = written(made.with_lengths(made.suite(tasks=("rte", "sst2"))), "score-short.md")
    assert "Long rows have more tokens than: SST-2 40; RTE 40." in text


def test_zero_shot_with_another_dtype_is_not_ranked():
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
def test_small_memory_keeps_its_digits_next_to_large_memory(peaks, texts):
    rows = [made.row(m) | {"peak_bytes": peak} for m, peak in zip(("mezo", "adam"), peaks, strict=True)]
    for name, at in (("memory.md", 1), ("methods.md", -1)):
        assert tuple(line[at] for line in cells(written(rows, name))[1:]) == texts


def test_rows_and_columns_are_in_the_fixed_order(nine):
    table = cells(written(nine[::-1], "score.md"))
    assert table[0] == ["method", *made.TITLES.values(), "mean"]
    opt, llama = table[1:9], table[10:]
    order = ["zero-shot", "Addax", "MeZO", "MeZO-SVRG", "IP-SGD", "SGD", "Adam"]
    assert [line[0] for line in llama] == order
    assert [line[0] for line in opt] == [*order[:2], "Addax-WA", *order[2:]]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("name", "field", "scale"),
    [("score", "score", 100), ("memory", "peak_bytes", 1e-6), ("time", "train_seconds_to_best", 1 / 60)],
)
def test_entries_match_the_rows(nine, name, field, scale):
    if name == "time":  # from ten minutes on, the table is in minutes
        nine = [dict(row) for row in nine]
        for row in nine:
            row[field] = row[field] and 10 * row[field]
    text = written(nine, f"{name}.md")
    assert {"score": "(%)", "memory": "(MB)", "time": "(min)"}[name] in text.splitlines()[0]
    opt = {line[0]: line[1:] for line in cells(text)[1:9]}
    for label in ("Adam", "IP-SGD"):
        rows = [r for r in nine if r["label"] == label and r["config"]["model"] == "nano-opt"]
        values = [scale * r[field] for t in made.TITLES for r in rows if r["config"]["task"] == t]
        assert opt[label] == [f"{value:.1f}" for value in [*values, mean(values)]]


def test_failures_are_named_and_leave_no_mean(nine):
    for name in ("score", "memory", "time"):
        opt = {line[0]: line[1:] for line in cells(written(nine, f"{name}.md"))[1:9]}
        assert (opt["SGD"][7], opt["MeZO"][2], opt["MeZO-SVRG"][6]) == ("OOM", "failed", "killed")
        assert opt["SGD"][9] == opt["MeZO"][9] == opt["Addax-WA"][9] == NONE
        assert sum(entry != NONE for entry in opt["Addax-WA"]) == 1


def test_zero_shot_has_no_training_time(nine):
    table = {line[0]: line[1:] for line in cells(written(nine, "time.md"))}
    assert set(table["zero-shot"]) == {NONE}


def of_scores(scores, task="sst2", model="nano-opt"):
    """Return rows of methods with given test scores, one per seed."""
    return [
        made.row(method, task, model, seed) | {"score": score}
        for method, of_method in scores.items()
        for seed, score in enumerate(of_method)
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
    # Six methods form 15 pairs, and 15 x 2 / 2^10 < 5 % < 15 x 2 / 2^9.
    assert (
        "Nothing is bold: 6 pairs of runs cannot show a significant difference, which takes at least 10."
        in text
    )
    assert "**" not in text.replace("**nano-opt**", "")


def test_only_a_significant_winner_is_bold():
    """With eight seeds and three pairs of methods, the smallest corrected p-value is 3 x 2 / 2^8 = 0.023.

    On SST-2 all differences have the same sign, so Addax wins. On RTE the signs are mixed.
    """
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
    # Over both tasks, Addax is better than Adam in 12 of 16 pairs, by 0.05 on average.
    assert table["Addax"][2] == "**85.2**"
    assert "Bold: significantly better than every other tested method at the 5 % level" in text
    assert "16 pairs of runs with equal tasks and seeds, assumed independent" in text
    assert "Tasks with at least 7 pairs are also tested alone." in text
    assert written(rows, "score.tex").count(r"\textbf{") == 2
    assert "**" not in written(rows, "memory.md").replace("**nano-opt**", "")


def test_a_winner_that_lacks_a_task_is_named_because_it_has_no_mean():
    tasks = ("sst2", "rte", "cb", "boolq")
    rows = [
        row
        for task in tasks
        for row in of_scores({"addax": [0.9, 0.91], "adam": [0.7, 0.71], "mezo": [0.6, 0.61]}, task)
        if (row["label"], task) != ("Addax", "boolq")
    ]
    rows.append(made.row("addax", "boolq", status="OOM"))
    # Three pairs of methods need 7 pairs of runs, so the third seed decides.
    rows += of_scores({"addax": [0, 0, 0.92], "adam": [0, 0, 0.72], "mezo": [0, 0, 0.62]})[2::3]
    text = written(rows, "score.md")
    assert "**" not in text.replace("**nano-opt**", "")
    assert "Nothing is bold: the best method has no mean" in text
    assert "Addax: significantly better than every other tested method over all tasks" in text


def test_five_seeds_are_too_few_for_a_winner():
    rows = of_scores({"addax": [0.99] * 5, "mezo": [0.5] * 5})
    text = written(rows, "score.md")
    assert "99.0 ± 0.0" in text
    assert "**99" not in text
    rows = of_scores({"addax": [0.99] * 6, "mezo": [0.5] * 6})
    assert "**99.0 ± 0.0**" in written(rows, "score.md")


def test_nine_tasks_and_three_seeds_give_a_summary_of_27_pairs_and_no_test_of_one_task():
    rows = made.suite(seeds=range(3), methods=("zero-shot", "adam", "mezo"))
    text = written(rows, "score.md")
    table = {line[0]: line[1:] for line in cells(text)}
    assert [entry.startswith("**") for entry in table["Adam"]] == [False] * 9 + [True]
    assert "27 pairs of runs with equal tasks and seeds" in text
    assert "No task is tested alone, because it has too few pairs." in text
    head, line = cells(written(rows, "pairs.md"))
    assert head[:3] == ["a", "b", "a - b (points)"]
    differences = [
        a - b
        for task in made.TITLES
        for a, b in zip(scores(rows, "MeZO", task), scores(rows, "Adam", task), strict=True)
    ]
    wins = sum(d > 0 for d in differences)
    assert line[:3] == ["MeZO", "Adam", f"{mean(differences):+.1f}"]
    assert line[4:] == [f"{wins} / 0 / {27 - wins}", "<0.0001", "27"]
    low, high = map(float, line[3].split(" to "))
    half = stats.t.ppf(0.975, 26) * stdev(differences) / math.sqrt(27)
    assert (low, high) == pytest.approx((mean(differences) - half, mean(differences) + half), abs=0.2 * half)


def test_a_method_with_few_runs_is_named_as_untested():
    rows = made.suite(seeds=range(3), methods=("adam", "mezo"))
    few = [made.row(label="Addax-WA", seed=seed) for seed in range(3)]
    text = written([*rows, *few], "score.md")
    assert "Methods with fewer than 6 common pairs are not tested." in text
    table = {tuple(line[:2]): line[-2:] for line in cells(written([*rows, *few], "pairs.md"))}
    assert table["Addax-WA", "Adam"] == [NONE, "3"]


def test_csv_has_the_unrounded_numbers(nine):
    lines = list(csv.DictReader(io.StringIO(written(nine, "score.csv"))))
    expected = {(r["config"]["model"], r["config"]["task"], r["label"]): r["score"] for r in nine}
    assert {
        (x["model"], x["task"], x["label"]): float(x["score"]) if x["score"] else None for x in lines
    } == expected
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


def test_the_method_table_drops_constant_columns():
    rows = [made.row(m, "sst2", "smollm2-135m") for m in ("zero-shot", "addax", "adam")]
    head, zero, addax, adam = cells(method_table(rows))
    assert head == ["method", "score (%)", "AUC", "loss", "lr", "steps", "time (s)", "memory (MB)"]
    assert [zero[0], *zero[4:7]] == ["zero-shot", *[NONE] * 3]
    assert addax[0] == "Addax"
    row = rows[2]
    numbers = [100 * row["score"], row["test"]["auc"], row["test"]["loss"], row["train_seconds_to_best"]]
    texts = [f"{n:.{d}f}" for n, d in zip(numbers, (1, 3, 3, 1), strict=True)]
    assert adam == ["Adam", *texts[:3], "0.001", "200", texts[3], "12.4"]


def test_a_run_with_a_budget_of_seconds_shows_its_number_of_steps():
    row = made.row("adam")
    row["config"] |= {"steps": None, "seconds": 30.0}
    assert cells(method_table([row]))[1][5] == "200"
