"""Tests of the majority scores beside the scores of tables."""

import io
from statistics import mean

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.report import build
from benchmarks.report.analysis import analyze
from benchmarks.report.arithmetics import dtype_table
from benchmarks.report.tables import block_of, latex, long_table
from benchmarks.report.terminal import print_summary
from benchmarks.results import majority
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made

METHODS = ("zero-shot", "mezo", "adam")


def suite(seeds=(0, 1, 2)):
    rows = made.suite(seeds=seeds, methods=METHODS, tasks=("sst2", "rte"))
    return made.with_majority(made.with_lengths(rows))


@pytest.mark.parametrize("column", ["score", "score_long", "score_short"])
def test_a_table_of_scores_begins_with_the_mean_majority_scores_of_the_same_rows(column):
    rows = suite()
    block = block_of(Results.of(rows).means, column)
    assert list(block["method"]) == ["majority", "zero-shot", "MeZO", "Adam"]
    of_task = {
        title: 100
        * mean(r[majority.BESIDE[column]] for r in rows if (r["task_title"], r["label"]) == (title, "Adam"))
        for title in ("SST-2", "RTE")
    }
    expected = of_task | {"mean": mean(of_task.values())}
    assert block.iloc[0].to_dict() == {"method": "majority"} | {k: f"{v:.1f}" for k, v in expected.items()}


def test_other_measures_and_rows_without_the_field_have_no_such_line():
    with_field, without = Results.of(suite()).means, Results.of(made.suite(methods=METHODS)).means
    assert "majority" not in set(block_of(with_field, "peak_bytes")["method"])
    assert "majority" not in set(block_of(without, "score")["method"])
    assert "majority" in long_table(with_field).columns
    assert "majority" not in long_table(without).columns


def test_the_seeds_of_the_method_with_the_most_runs_count():
    rows = suite()
    few = [r for r in rows if r["label"] != "MeZO" or r["config"]["seed"] == 2]
    assert majority.by_task(Results.of(few).means) == majority.by_task(Results.of(rows).means)


def test_a_task_without_the_field_is_left_empty():
    rows = [r | {"majority": None} if r["config"]["task"] == "rte" else r for r in suite()]
    line = block_of(Results.of(rows).means, "score").iloc[0]
    assert (line["method"], line["RTE"], line["mean"]) == ("majority", "–", "–")
    assert line["SST-2"] != "–"


@pytest.mark.medium
def test_every_table_of_scores_and_the_summary_show_the_majority(tmp_path):
    results = Results.of(suite())
    build.write_tables("demo", results, tmp_path)
    folder = tmp_path / "results" / "tables" / "demo"
    for name in ("score", "score-long", "score-short", "methods", "intervals"):
        for kind in ("md", "tex"):
            assert "majority" in (folder / f"{name}.{kind}").read_text(), (name, kind)
    data = pd.read_csv(folder / "methods.csv")
    assert data["majority"].notna().all()
    out = io.StringIO()
    print_summary(analyze("demo", results), Console(file=out, width=80))
    lines = [line.split() for line in out.getvalue().splitlines() if line.lstrip().startswith("majority")]
    assert [line[-2:] for line in lines] == [["–", "–"]]


def test_a_task_whose_metric_differs_between_models_has_a_column_for_each_in_latex():
    other = made.suite(models=("nano-llama",), methods=METHODS, tasks=("rte",))
    rows = [*made.suite(methods=METHODS, tasks=("rte",)), *made.signed(other)]
    text = latex(Results.of(rows).means, "score")
    assert "method & RTE & RTE (MCC) & mean" in text
    lines = [line.split(" & ") for line in text.splitlines() if line.startswith("Adam")]
    assert [line.index("--") for line in lines] == [2, 1]


def test_scores_that_are_negative_are_shown_times_100_with_their_metric():
    rows = made.with_majority(made.signed(made.suite(methods=METHODS, tasks=("rte",))))
    means = Results.of(rows).means
    assert means["score"].min() < 0
    block = block_of(means, "score").set_index("method")
    scores = {r["label"]: r["score"] for r in rows}
    assert block["RTE (MCC)"].to_dict() == {
        **{label: f"{100 * score:.1f}" for label, score in scores.items()},
        "majority": f"{100 * rows[0]['majority']:.1f}",
    }
    assert "score (× 100)" in long_table(means)


def test_the_table_of_arithmetics_shows_the_majority_of_each_task():
    rows = made.with_majority(made.suite(seeds=(0, 1), methods=("mezo",), tasks=("sst2", "rte")))
    for row in rows:
        row["config"]["dtype"] = "float32"
    head, _, *lines = dtype_table(rows).splitlines()[:4]
    assert head.split("|")[-2].strip() == "majority"
    expected = [
        f"{100 * mean(r['majority'] for r in rows if r['task_title'] == t):.1f}" for t in ("SST-2", "RTE")
    ]
    assert [line.split("|")[-2].strip() for line in lines] == expected
    old = [{k: v for k, v in row.items() if not k.startswith("majority")} for row in rows]
    assert "majority" not in dtype_table(old)
