"""Tests of the clock that waits for the device."""

import torch

from benchmarks.profiling import timing


def test_the_clock_waits_for_a_gpu_and_not_for_a_cpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    assert timing.now(torch.device("cpu")) <= timing.now(torch.device("cuda", 1))
    assert waited == [torch.device("cuda", 1)]
