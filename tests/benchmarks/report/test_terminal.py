"""Tests of the printed summary: it fits a terminal and names failed runs."""

import io
from statistics import mean

from rich.console import Console

from benchmarks.report.analysis import analyze
from benchmarks.report.terminal import print_summary
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made


def test_summary_fits_eighty_columns_and_names_failures(nine):
    out = io.StringIO()
    print_summary(analyze("quick", Results.of(nine)), Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "OOM: SGD on ReCoRD, nano-opt" in text
    assert "failed: MeZO on CB, nano-llama" in text
    assert "No score has a star" in " ".join(text.split())
    adam = next(line for line in text.splitlines() if line.lstrip().startswith("Adam")).split()
    rows = [r for r in nine if r["label"] == "Adam" and r["config"]["model"] == "nano-opt"]
    assert adam[1:10] == [f"{100 * r['score']:.1f}" for r in rows]
    assert adam[10] == f"{mean(100 * r['score'] for r in rows):.1f}"
    assert adam[12] == f"{sum(r['train_seconds_to_best'] for r in rows):.0f}"


def test_a_summary_wider_than_the_terminal_is_not_cut(nine):
    out = io.StringIO()
    long = made.row("ip-sgd", label="IP-SGD (checkpointing)")
    long["config"] |= {"gradient_checkpointing": True, "dtype": "bfloat16"}
    print_summary(analyze("quick", Results.of([*nine, long])), Console(file=out, width=80))
    text = out.getvalue()
    assert "IP-SGD (checkpointing) bfloat16" in text
    assert "…" not in text
    heading = next(line for line in text.splitlines() if line.lstrip().startswith("method"))
    assert heading.split() == ["method", *made.TITLES.values(), "mean", "MB", "s"]


def test_a_significant_score_has_a_star_and_a_method_without_a_run_no_time():
    rows = [
        made.row(method, seed=seed) | {"score": score + 0.001 * seed}
        for method, score in (("addax", 0.9), ("adam", 0.5))
        for seed in range(6)
    ]
    rows.append(made.row("mezo", status="failed"))
    rows[-1]["train_seconds_to_best"] = None
    out = io.StringIO()
    print_summary(analyze("quick", Results.of(rows)), Console(file=out, width=80))
    lines = {line.split()[0]: line.split()[1:] for line in out.getvalue().splitlines() if line.strip()}
    assert lines["Addax"][0] == "90.2*"
    assert not lines["Adam"][0].endswith("*")
    assert lines["MeZO"][-1] == "–"
    assert "*: significantly better than every other tested method" in " ".join(out.getvalue().split())
