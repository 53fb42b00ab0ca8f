"""Tests of the clock that waits for the devices."""

import torch

from benchmarks.profiling import timing


def test_the_clock_waits_for_every_gpu_and_not_for_a_cpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    gpus = [torch.device("cuda", index) for index in range(3)]
    assert timing.now([torch.device("cpu")]) <= timing.now([gpus[1], torch.device("cpu"), gpus[2], gpus[0]])
    assert sorted(waited, key=str) == gpus
