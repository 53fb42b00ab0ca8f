"""Tests of the study of memory curves: points, rows, and tables."""

import dataclasses
import json
from argparse import Namespace

import pytest

from benchmarks import studies
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.studies import _memory_tables
from benchmarks.studies import memory_curves as memory
from benchmarks.studies._memory_points import GRIDS, L_T, Point
from plots import _memory
from tests.benchmarks.results import result_rows as made

SMALL = "facebook/opt-125m"
LAYERS, WIDTH = 12, 768


def small(method, fo=(2, 16), **fields):
    return Point("figure4", SMALL, method, None, fo, batch_size=2, length=16, **fields)


@pytest.fixture(scope="module")
def predicted():
    points = [small("sgd"), small("adam", adapters=True), small("ip-sgd", fo=(8, 512))]
    return memory.rows(points, processes=1)


def test_sgd_ends_its_backward_pass_with_all_gradients(predicted):
    sgd, _, long = predicted
    start, end = sgd["backward"]["start"], sgd["backward"]["end"]
    assert end["gradients"] == end["parameters"] == sgd["split"]["parameters"]
    assert start["gradients"] < 0.4 * start["parameters"]
    assert start["activations"] > 0
    assert sgd["piece"][:2] == ["fo", "backward"]
    assert sgd["peak_bytes"] == sum(sgd["split"].values()) >= max(sum(start.values()), sum(end.values()))
    # In-place updates hold few gradients at the end, so with a long batch the peak is at the start.
    assert long["piece"] == ["fo", "backward", LAYERS - 1]
    assert long["split"] == long["backward"]["start"]


def test_lora_has_gradients_and_optimizer_state_only_for_its_adapters(predicted):
    sgd, lora, _ = predicted
    adapters = LAYERS * 2 * 2 * WIDTH * memory.LORA["r"] * 4
    assert lora["split"]["parameters"] == sgd["split"]["parameters"] + adapters
    # Each tensor has two moments and a step count, which takes one allocation granule of 512 bytes.
    assert lora["split"]["optimizer_state"] == 2 * adapters + LAYERS * 2 * 2 * 512
    assert 0 <= lora["split"]["gradients"] <= adapters
    assert (lora["label"], lora["adapters"]) == ("LoRA with Adam", memory.LORA)
    assert sgd["adapters"] is None


def test_checkpointing_lowers_the_activations_at_the_start(predicted):
    long = predicted[2]
    (less,) = memory.rows([small("ip-sgd", fo=(8, 512), gradient_checkpointing=True)], processes=1)
    assert less["peak_bytes"] < long["peak_bytes"]
    assert less["split"]["activations"] < long["split"]["activations"] / 2


def test_a_step_of_several_points_is_predicted_once_and_processes_agree(monkeypatch):
    points = [small("sgd"), dataclasses.replace(small("sgd"), what="fits", batch_size=None)]
    seen = []
    monkeypatch.setattr(memory, "predict", lambda point: seen.append(point) or {"peak_bytes": 1})
    one, other = memory.rows(points, processes=1)
    assert len(seen) == 1
    assert (one["what"], other["what"]) == ("figure4", "fits")
    assert (one["batch_size"], other["batch_size"], other["fo_batch_size"]) == (2, None, 2)


def test_worker_processes_predict_the_same(predicted):
    (row,) = memory.rows([small("sgd")], processes=2)
    assert row == predicted[0]


def test_without_peft_lora_names_what_to_install(monkeypatch):
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="peft, which is not installed: pip install"):
        memory.measure(Namespace(figures=["figure4"], processes=1), print)


def test_the_grids_have_every_method_and_addax_at_its_threshold():
    points = {what: grid() for what, grid in GRIDS.items()}
    assert {p.label for p in points["figure4"]} == {"MeZO", "IP-SGD", "SGD", "LoRA with Adam", "Addax"}
    assert {p.label for p in points["fits"]} >= {"MeZO-SVRG", "Adam"}
    for each in points.values():
        assert len(set(each)) == len(each)
        for point in each:
            assert not (point.gradient_checkpointing and point.fo is None)
            if point.method == "addax":
                assert point.fo[1] == min(L_T, point.zo[1])
            assert point.spec.method == point.method
    sizes = {p.model.rpartition("-")[2] for p in points["table22"]}
    assert sizes == {"1.3b", "2.7b", "6.7b", "13b", "30b", "66b"}
    lengths = {p.length for p in points["figure4"]}
    assert max(lengths) <= 2048
    assert {p.batch_size for p in points["figure4"]} == {8}
    assert {p.length for p in points["figure3"]} == {300}
    assert len({p.step for p in points["figure4"]}) == len(points["figure4"]) == 9 * len(lengths)


def test_saving_replaces_predictions_of_its_figures_and_keeps_measured_rows():
    old = [made.memory_row("figure4", "facebook/opt-13b", "sgd", "SGD", 8, n) for n in (100, 200)]
    old += [made.memory_row("figure4", "facebook/opt-13b", "sgd", "SGD", 8, 100, kind="measured")]
    old += [made.memory_row("figure3", "facebook/opt-13b", "sgd", "SGD", 8, 300)]
    new = [made.memory_row("figure4", "facebook/opt-13b", "mezo", "MeZO", 8, 300)]
    kept = studies.merged(memory.STUDY, old, new)
    assert [(r["what"], r["label"], r["kind"]) for r in kept] == [
        ("figure3", "SGD", "predicted"),
        ("figure4", "MeZO", "predicted"),
        ("figure4", "SGD", "measured"),
    ]


def test_the_committed_rows_are_the_points_of_the_figures():
    rows = [json.loads(line) for line in (store.REFERENCE / "memory-curves.jsonl").read_text().splitlines()]
    expected = {(p.what, p.label, p.dtype, p.model, p.step) for grid in GRIDS.values() for p in grid()}
    assert len([r for r in rows if r["kind"] == "predicted"]) == len(expected)


def cells(table):
    """Return the cells of a Markdown table: first cell of a line -> its other cells."""
    return {
        line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in table.splitlines()
    }


def test_page_tables_are_computed_from_predicted_rows():
    rows = made.memory()
    peaks, work = cells(_memory_tables.peaks(rows)), cells(_memory_tables.work(rows))
    lengths = [int(length) for length in peaks["method"]]
    sgd = {r["length"]: r["peak_bytes"] for r in rows_of(rows, "SGD")}
    assert peaks["SGD"] == [f"{sgd[length] / 1e9:.1f}" for length in lengths]
    # The batch has 8 x 1000 tokens. A forward pass counts 1, a backward pass 2, and checkpointing 1 more.
    assert (work["SGD"][1], work["SGD, checkpointing"][1], work["MeZO"][1]) == ("24.0", "32.0", "16.0")
    ends = cells(_memory_tables.backward_ends(rows))
    assert [row[4] for name, row in ends.items() if name.isdecimal()] == peaks["SGD"]
    for row in rows:
        row["peak_bytes"] *= 2
    assert cells(_memory_tables.peaks(rows))["SGD"] != peaks["SGD"]


def rows_of(rows, name):
    return [
        r for r in rows if (r["what"], r["kind"], _memory.curve_label(r)) == ("figure4", "predicted", name)
    ]


def test_table_22_has_published_and_predicted_numbers():
    found = cells(_memory_tables.table22(made.memory()))
    assert found["OPT-13B"] == ["26", "24.2", "24.2", "316", "4", "79", *found["OPT-13B"][6:]]
    assert found["OPT-66B"][3:6] == ["–", "16", "–"]
    assert found["OPT-1.3B"][3:6] == ["27", "1", "27"]
    assert _memory_tables.published("Figure 4")["1x A100-80GB", "FT", "largest OPT that fits"] == 2.7


def test_the_largest_model_fits_the_gpu_and_measured_rows_take_precedence():
    rows = [r for r in made.memory(kinds=("predicted",)) if r["what"] == "fits" and r["label"] == "SGD"]
    one = [r for r in rows if r["batch_size"] == 1 and not r["gradient_checkpointing"]]
    # At four bytes per parameter, OPT-13B needs 52 GB, and its activations are small.
    assert _memory.largest(one, 51) == ("facebook/opt-1.3b", "predicted")
    assert _memory.largest(one, 80) == ("facebook/opt-13b", "predicted")
    assert _memory.largest(one, 1) is None
    more = next(r for r in one if r["model"] == "facebook/opt-13b") | {"kind": "measured", "peak_bytes": 81e9}
    assert _memory.largest([more, *one], 80) == ("facebook/opt-1.3b", "predicted")
    table = _memory_tables.largest_model(made.memory(kinds=("predicted",)))
    assert "| SGD " in table
    assert "One example" in table
