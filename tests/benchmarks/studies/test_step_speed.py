"""Tests of the study of step speed, on a tiny model. Times are not checked."""

import pytest
import torch
from transformers import OPTConfig

from benchmarks import models
from benchmarks.studies import step_speed as step


def tiny(_shape, dtype, device, *_):
    """Build a tiny OPT in which biases and position embeddings are few compared with the weights."""
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


def test_every_alternative_has_the_expected_draws_and_passes(rows):
    found = {row["way"]: row for row in rows}
    assert len(found) == len(rows)
    expected = {
        "two forwards": (0, 0),
        "released": (4, 0),  # creates new tensors and assigns them to the parameters
        "released, our noise": (4, 4),
        "MeZO": (3, 1),
        "four forwards": (0, 0),
        "MeZO-SVRG": (6, 1),
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


def test_peaks_order_the_methods(rows):
    """IP-SGD never has all gradients at once, so its peak is below that of SGD."""
    peak = {row["way"]: row["peak_bytes"] for row in rows}
    theta = rows[0]["theta_bytes"]
    assert peak["IP-SGD"] < peak["SGD"] - 0.3 * theta
    assert peak["released"] > peak["MeZO"] - 0.2 * theta
    assert peak["torch Adam"] >= peak["torch SGD"]


def test_a_single_part_can_be_timed(monkeypatch):
    monkeypatch.setattr(step, "opt", tiny)
    rows = step.step("opt-125m", torch.bfloat16, 2, 8, 1, "cpu", parts=["mixed"])
    assert [row["way"] for row in rows] == [step.BARE["mixed"], "Addax"]


def test_the_table_compares_overheads_with_that_of_the_released_step(rows):
    for row, seconds in zip(rows, (1.0, 5.0, 4.0, 3.0), strict=False):
        row["seconds"], row["beyond_seconds"] = seconds, seconds - 1.0
    lines = [line for line in step.table(rows).splitlines() if "zeroth order" in line]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [(c[2], c[3], c[4], c[5]) for c in cells] == [
        ("two forwards", "1.000", "", ""),
        ("released", "5.000", "4.000", ""),
        ("released, our noise", "4.000", "3.000", "0.75"),
        ("MeZO", "3.000", "2.000", "0.50"),
    ]
