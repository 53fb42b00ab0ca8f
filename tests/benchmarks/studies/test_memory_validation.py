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


class PoolOfOne:
    """A pool that works in this process, records its jobs, and is killed before a given number of jobs."""

    def __init__(self, jobs, limit):
        self.jobs, self.limit = jobs, limit

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def map(self, function, jobs):
        for job in jobs:
            if len(self.jobs) == self.limit:
                raise KeyboardInterrupt
            self.jobs.append((job[0], job[2]))
            yield function(job)


def test_an_interrupted_study_continues_where_it_stopped(monkeypatch, tmp_path, capsys):
    config = study.small_config("opt", 1, 16)
    combinations = [("tiny", 8), ("tiny", 12), ("other", 8)]
    monkeypatch.setattr(study, "pairs", lambda device: ((name, config, n) for name, n in combinations))

    def compare(spec, config, length, device, padded):
        # The study itself adds the model's name.
        found = row(2 * MIB, MIB, spec.method, device) | {"length": length, "padded": padded}
        return {key: value for key, value in found.items() if key != "model"}

    monkeypatch.setattr(study, "compare", compare)

    def measured(limit, *arguments):
        jobs = []
        monkeypatch.setattr(study, "pool", lambda processes: PoolOfOne(jobs, limit))
        command = ["study", "memory-validation", *arguments]
        assert main(command) == (130 if limit < len(combinations) else 0)
        return jobs, capsys.readouterr()

    save = ("--save-to", str(tmp_path))
    jobs, printed = measured(2, *save)
    assert jobs == combinations[:2]
    assert "interrupted: to run the command again, enter" in printed.err
    rows = (tmp_path / "memory-validation.jsonl").read_text().splitlines()
    jobs, printed = measured(9, *save)
    assert jobs == combinations[2:]
    assert "2 of 3 combinations of model and length were saved before" in printed.err
    steps = 3 * len(list(study.specs(config, "cpu"))) * 2
    assert f"| {steps} |" in " ".join(printed.out.split())
    assert (tmp_path / "memory-validation.jsonl").read_text().splitlines()[: len(rows)] == rows
    assert measured(9, *save)[0] == []
    # Without saving, or after a change of the code, everything is measured.
    assert measured(9)[0] == combinations
    monkeypatch.setattr("benchmarks.studies._saved.study_fingerprint", lambda name: "other")
    assert measured(9, *save)[0] == combinations
