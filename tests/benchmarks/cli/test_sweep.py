"""A test that `sweep` passes the machine's GPUs to its workers."""

import pytest
import torch

from benchmarks.cli import main
from benchmarks.sweep import local, scheduler


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--device", "cuda"], (3, ("0", "1", "2"))),
        ([], (3, ("0", "1", "2"))),
        (["--device", "cuda", "--jobs", "5"], (5, ("0", "1", "2"))),
        (["--device", "cuda:1"], (1, ())),
        (["--device", "cpu", "--jobs", "2"], (2, ())),
    ],
)
def test_workers_get_the_gpus_of_the_machine(monkeypatch, options, expected):
    started = []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(local, "LocalExecutor", lambda jobs, cards: started.append((jobs, cards)))
    monkeypatch.setattr(scheduler, "sweep", lambda *_, make_executor, **__: make_executor(100) or 0)
    assert main(["sweep", "quick", "--wandb", "disabled", *options]) == 0
    assert started == [expected]
