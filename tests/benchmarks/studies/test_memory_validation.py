"""Tests of the study that compares predicted and measured peaks: its table, and what it asks of a GPU."""

import pytest
import torch

from benchmarks.cli import main
from benchmarks.studies import memory_validation as study

MIB = 2**20


def row(measured, predicted, label="SGD", device="cuda"):
    return {
        "device": device, "label": label, "model": "opt", "length": 128,
        "measured_bytes": measured, "predicted_bytes": predicted,
    }  # fmt: skip


def test_the_table_has_differences_in_percent_and_in_mib():
    """The median of each unit is its own; the largest difference in MiB may be small in percent."""
    rows = [
        row(100 * MIB, 110 * MIB, "Adam"), row(1000 * MIB, 980 * MIB), row(1000 * MIB, 1001 * MIB),
        row(None, 10 * MIB),
    ]  # fmt: skip
    head, _, line = study.table(rows).splitlines()
    cells = dict(
        zip(*([cell.strip() for cell in text.split("|")[1:-1]] for text in (head, line)), strict=True)
    )
    assert cells == {
        "device": "cuda",
        "steps": "3",
        "median difference (%)": "2.000",
        "median difference (MiB)": "10.000",
        "largest difference (%)": "+10.00",
        "its size (MiB)": "+10.00",
        "largest difference on": "Adam, opt, length 128",
    }


def test_a_prediction_is_compared_on_the_card_that_it_is_made_for(monkeypatch):
    seen = []

    def of_config(spec, config, batches, device, capability):
        seen.append((device, capability))
        raise InterruptedError

    monkeypatch.setattr(study.estimator, "of_config", of_config)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    config = study.small_config("opt", 1, 16)
    spec = next(study.specs(config, "cpu"))
    for device in ("cuda", "cpu"):
        with pytest.raises(InterruptedError):
            study.compare(spec, config, 8, device)
    assert seen == [("cuda", (8, 0)), ("cpu", None)]


@pytest.mark.parametrize(
    ("error", "is_recorded"),
    [
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False),
    ],
)
def test_a_step_that_runs_out_of_memory_is_recorded_and_another_error_is_raised(
    monkeypatch, error, is_recorded
):
    warmed = []

    def failing(*_args):
        raise error

    monkeypatch.setattr(study, "DryStep", failing)
    monkeypatch.setattr(study, "warm_up", lambda devices, dtype: warmed.append((devices, dtype)))
    config = study.small_config("opt", 1, 16)
    spec = next(study.specs(config, "cpu"))
    if is_recorded:
        found = study.measured_peak(spec, config, {}, "cpu")
        assert found == {"measured_bytes": None, "measured_how": "out of memory"}
    else:
        with pytest.raises(torch.AcceleratorError, match="assert"):
            study.measured_peak(spec, config, {}, "cpu")
    assert warmed == [([torch.device("cpu")], torch.float32)]


def test_an_unknown_model_is_one_clear_line_with_the_nearest_name(capsys):
    assert main(["study", "memory-validation", "--models", "opt 2 x 46"]) == 2
    message = capsys.readouterr().err
    assert "opt 2 x 46" in message
    assert "did you mean 'opt 2 x 64'" in message
