"""The speed benchmarks' rows: that they count what they say, on a tiny model; times are not looked at."""

import json

import pytest
import torch
from transformers import OPTConfig

from benchmarks import models
from benchmarks.studies import _speed_tables
from benchmarks.studies.speed import __main__ as command
from benchmarks.studies.speed import step


def tiny(_shape, dtype, device, *_):
    """An OPT whose weights are all but its biases and positions."""
    config = OPTConfig(
        vocab_size=512,
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        dropout=0.0,
    )
    return models.build(config, dtype=dtype, device=device)


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(step, "opt", tiny)
    return step.step("opt-125m", torch.float32, 2, 8, 2, "cpu")


def test_every_way_does_its_work(rows):
    found = {row["way"]: row for row in rows}
    assert len(found) == len(rows)
    expected = {
        "two forwards": (0, 0),
        "released": (4, 0),  # writes new tensors, and points the parameters at them
        "released, our noise": (4, 4),
        "MeZO": (3, 1),
        "forward, backward": (0, 0),
        "torch SGD": (0, 1),
        "IP-SGD": (0, 1),
        "SGD": (0, 1),
        "torch Adam": (0, 1),
        "Adam": (0, 1),
        "two forwards; forward, backward": (0, 0),
        "Addax": (3, 1),
    }
    assert set(found) == set(expected)
    for way, (draws, passes) in expected.items():
        assert found[way]["draws"] == pytest.approx(draws), way
        assert found[way]["passes"] == pytest.approx(passes), way
    for row in rows:
        bare = next(r for r in rows if r["part"] == row["part"])
        assert row["seconds"] > 0
        assert bare["way"] == step.BARE[row["part"]]
        assert bare["beyond_seconds"] == 0


def test_peaks_tell_the_methods_apart(rows):
    """Beyond a forward and a backward torch's Adam has two moments, and IP-SGD fewer gradients than SGD."""
    peak = {row["way"]: row["peak_bytes"] for row in rows}
    theta = rows[0]["theta_bytes"]
    assert peak["IP-SGD"] < peak["SGD"] - 0.3 * theta
    assert peak["released"] > peak["MeZO"] - 0.2 * theta
    assert peak["torch Adam"] >= peak["torch SGD"]


def test_a_part_alone(monkeypatch):
    monkeypatch.setattr(step, "opt", tiny)
    rows = step.step("opt-125m", torch.bfloat16, 2, 8, 1, "cpu", parts=["mixed"])
    assert [row["way"] for row in rows] == [step.BARE["mixed"], "Addax"]


def test_the_table_compares_with_the_released_way_beyond_the_forwards(rows):
    for row, seconds in zip(rows, (1.0, 5.0, 4.0, 3.0), strict=False):
        row["seconds"], row["beyond_seconds"] = seconds, seconds - 1.0
    lines = [line for line in _speed_tables.table(rows).splitlines() if "zeroth order" in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [(c[2], c[3], c[4], c[5]) for c in cells] == [
        ("two forwards", "1.000", "", ""),
        ("released", "5.000", "4.000", ""),
        ("released, our noise", "4.000", "3.000", "0.75"),
        ("MeZO", "3.000", "2.000", "0.50"),
    ]


def test_saved_rows_replace_those_of_the_same_setting_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(command.store, "REFERENCE", tmp_path)
    monkeypatch.setattr(command.readme, "refresh", lambda page: None)
    here = {"shape": "opt-125m", "dtype": "float32", "device": "cpu", "hardware": "a"}
    command._keep("speed-step", [here | {"seconds": 1}, here | {"hardware": "b", "seconds": 2}])
    command._keep("speed-step", [here | {"seconds": 3}])
    kept = [json.loads(line) for line in (tmp_path / "speed-step.jsonl").read_text().splitlines()]
    assert sorted((row["hardware"], row["seconds"]) for row in kept) == [("a", 3), ("b", 2)]
