"""Tests of the figure of suite `real`: scores of the runs at the memory and time of the measured steps."""

from statistics import mean

import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from benchmarks.results.frame import Results
from plots import real, render
from tests.benchmarks.results import result_rows as made

STEM = "real-nano-opt"


@pytest.fixture
def runs():
    return [made.row(method, "sst2", seed=s) for method in ("addax", "ip-sgd", "zero-shot") for s in range(3)]


@pytest.fixture
def costs():
    labels = {"addax": "Addax", "ip-sgd": "IP-SGD"}
    rows = [
        made.row(method, label=label) | {"peak_bytes": 10**9, "step_seconds": 3.0}
        for method, label in labels.items()
    ]
    checkpointed = made.row("ip-sgd", label="IP-SGD (checkpointing)")
    return [*rows, checkpointed | {"peak_bytes": 5 * 10**8, "step_seconds": 4.0}]


def test_markers_have_the_scores_of_runs_and_the_memory_of_steps(runs, costs):
    found = render.draw(["real"], Results.of(runs), rows_of=lambda name: costs)["real"]
    (axes,) = found[STEM].axes
    markers = [m.get_offsets()[0].tolist() for m in axes.collections if isinstance(m, PathCollection)]
    score = {
        label: 100 * mean(row["score"] for row in runs if row["label"] == label)
        for label in ("Addax", "IP-SGD")
    }
    expected = [[1.0, score["Addax"]], [1.0, score["IP-SGD"]], [0.5, score["IP-SGD"]]]
    assert sorted(markers) == [pytest.approx(point) for point in sorted(expected)]


def test_numbers_hold_the_time_of_whole_runs(runs, costs):
    table = real.numbers(Results.of(runs), costs)[STEM].set_index("label")
    assert table.loc["IP-SGD", "train_seconds"] == 3.0 * made.METHODS["ip-sgd"][1]
    assert table.loc["IP-SGD (checkpointing)", "train_seconds"] == 4.0 * made.METHODS["ip-sgd"][1]


def test_without_measured_steps_memory_and_time_are_those_of_the_runs(runs):
    table = real.numbers(Results.of(runs))[STEM].set_index("label")
    own = [row for row in runs if row["label"] == "Addax"]
    assert table.loc["Addax", "peak_bytes"] == mean(row["peak_bytes"] for row in own)
    assert table.loc["Addax", "train_seconds"] == pytest.approx(mean(row["train_seconds"] for row in own))


def test_a_task_without_measured_steps_has_no_panel_and_costs_of_another_model_have_no_effect():
    runs = [made.row(m, task, seed=s) for m in ("addax", "mezo") for task in ("sst2", "rte") for s in (0, 1)]
    costs = [made.row(m) | {"peak_bytes": 2e9, "step_seconds": 0.5} for m in ("addax", "mezo")]
    (figure,) = real.draw(Results.of(runs), costs=costs).values()
    assert len(figure.axes) == 1
    assert set(real.numbers(Results.of(runs), costs)[STEM]["task"]) == {"sst2"}
    others = [
        made.row(m, model="nano-llama") | {"peak_bytes": 2e9, "step_seconds": 0.5} for m in ("addax", "mezo")
    ]
    pd.testing.assert_frame_equal(
        real.numbers(Results.of(runs), others)[STEM], real.numbers(Results.of(runs))[STEM]
    )
