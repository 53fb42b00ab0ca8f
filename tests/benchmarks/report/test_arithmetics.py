"""Tests of the tables of suite `rounding`: means of each arithmetic, and comparisons with float32."""

from itertools import product

import numpy as np
import pytest

from benchmarks.docs.values import lines
from benchmarks.report import arithmetics
from tests.benchmarks.results import result_rows as made
from tests.markdown import cells


def run_in(dtype, scores, method="mezo", task="cb", **settings):
    """Return the rows of one cell of suite `rounding`: one seed per score."""
    suffix = "".join(f" ({way})" for way in settings.values())
    rows = []
    for seed, score in enumerate(scores):
        row = made.row(method, task, seed=seed, label=made.METHODS[method][0] + suffix, **settings)
        row["config"]["dtype"] = dtype
        rows.append(row | {"score": score})
    return rows


def test_the_dtype_table_counts_means_within_the_range_of_the_float32_seeds():
    rows = [
        *run_in("float32", (0.5, 0.6, 0.7)),
        *run_in("bfloat16", (0.4, 0.6, 0.6)),
        *run_in("float16", (0.7, 0.7, 0.703)),
        *run_in("bfloat16", (0.1, 0.5, 0.8), rounding="nearest"),
        *run_in("bfloat16", (0.7, 0.7, 0.7), arithmetic="released"),
        *run_in("float32", (1.0, 1.0), "ip-sgd"),
        *run_in("float16", (1.0, 0.98), "ip-sgd"),
        *run_in("bfloat16", (0.3,), "addax", "rte"),
    ]
    text = arithmetics.dtype_table(rows[::-1])
    assert cells(text) == [
        ["method", "task", "float32", "bfloat16", "float16", "bfloat16, nearest", "bfloat16, released"],
        ["Addax", "RTE", "–", "30.0", "–", "–", "–"],
        ["MeZO", "CB", "60.0 (50.0 to 70.0)", "53.3", "**70.1**", "**46.7**", "70.0"],
        ["IP-SGD", "CB", "100.0 (100.0 to 100.0)", "–", "**99.0**", "–", "–"],
    ]
    counted = "bfloat16: 1 of 1; float16: 0 of 2; bfloat16, nearest: 0 of 1; bfloat16, released: 1 of 1."
    assert text.endswith(f"\n\nMeans within the range of the float32 seeds: {counted}")


def test_arithmetics_are_compared_over_methods_tasks_and_seeds():
    """The p-value is exact for 8 pairs: 2^8 sign patterns."""
    generator = np.random.default_rng(0)
    rows, differences = [], []
    for method, task in product(("addax", "mezo"), ("cb", "rte")):
        base, change = generator.uniform(0.4, 0.6, 2), generator.uniform(-0.05, 0.1, 2)
        rows += run_in("float32", base, method, task)
        rows += run_in("bfloat16", base + change, method, task, arithmetic="released")
        differences += list(change)
    text = arithmetics.compared(rows)
    found = {line[0]: dict(zip(header, line, strict=True)) for header, line in lines(text)}
    assert [*found] == ["bfloat16", "float16", "bfloat16, nearest", "bfloat16, released"]
    line = found["bfloat16, released"]
    assert line["minus float32 (points)"] == f"{100 * np.mean(differences):+.1f}"
    assert line["pairs"] == "8"
    sums = np.array(list(product((-1, 1), repeat=8))) @ differences
    p = np.mean(np.abs(sums) >= abs(np.sum(differences)) - 1e-12)
    # Holm: the smallest of four p-values, three of which are 1 for lack of runs.
    assert float(line["p, Holm"]) == pytest.approx(min(1, 4 * p), abs=1e-4)
