"""Tests of the host time of a step on a model of many tiny tensors. Times are not checked."""

import pytest
import torch

from benchmarks import registry
from benchmarks.cli import main
from benchmarks.errors import UserError
from benchmarks.studies import _host_time, step_speed
from benchmarks.studies._host_steps import tiny_tensors

ROW = {"shape": "s", "dtype": "float32", "device": "cpu", "hardware": "h", "part": _host_time.PART}


def test_the_model_has_the_tensors_that_times_are_divided_by():
    model = tiny_tensors(torch.bfloat16, "cpu")
    assert len(list(model.parameters())) == _host_time.TENSORS == 388
    assert max(p.numel() for p in model.parameters()) <= 1024


@pytest.mark.slow
@pytest.mark.process
def test_two_checkouts_are_timed_in_turns():
    rows = _host_time.rows_of("bfloat16", "cpu", 1, str(registry.ROOT))
    assert [row["way"] for row in rows[:2]] == ["MeZO", "MeZO, Rademacher"]
    assert rows[2]["way"].startswith("MeZO of ")
    for row in rows:
        assert (row["part"], row["tensors"]) == ("host time", 388)
        assert 0 < row["cpu_seconds_per_tensor"] < 1
        assert 0 < row["wall_seconds_per_tensor"] * 388 < row["seconds"]
    assert len(step_speed.table(rows).splitlines()) == 5


def test_the_table_shows_the_ratio_to_the_reference():
    ours, reference = (
        ROW | {"way": way, "cpu_seconds_per_tensor": cpu, "wall_seconds_per_tensor": 2 * cpu}
        for way, cpu in (("MeZO", 5e-5), ("MeZO of 9381118", 2e-4))
    )
    cells = [
        [cell.strip() for cell in line.split("|")]
        for line in step_speed.table([ours, reference]).splitlines()
    ]
    assert [c[3:7] for c in cells[2:]] == [
        ["MeZO", "50.0", "100.0", "0.25"],
        ["MeZO of 9381118", "200.0", "400.0", ""],
    ]


def test_a_folder_that_is_no_checkout_is_one_clear_line(tmp_path, capsys):
    words = ["--parts", "host time", "--device", "cpu", "--dtype", "bfloat16"]
    assert main(["study", "step-speed", *words, "--reference-source", str(tmp_path)]) == 2
    assert f"--reference-source {tmp_path}: not a checkout of this repository" in capsys.readouterr().err


@pytest.mark.process
def test_a_checkout_whose_step_fails_is_named(tmp_path):
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "__init__.py").touch()
    (tmp_path / "baselines" / "mezo.py").write_text("raise RuntimeError('no such method')\n")
    worker = _host_time.Worker(tmp_path, "float32", "cpu")
    try:
        with pytest.raises(UserError, match=f"{tmp_path}: its MeZO step cannot be timed: .*no such method"):
            worker.turn()
    finally:
        worker.stop()
