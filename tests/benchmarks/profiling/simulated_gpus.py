"""Simulated GPUs: the queries of `torch.cuda` that name cards, answered without one."""

import torch

from benchmarks.profiling import devices

H200, A100 = "NVIDIA H200", "NVIDIA A100-SXM4-40GB"


def simulate(monkeypatch, cards, initialized=True):
    """Let torch report these cards, by number."""
    devices._card.cache_clear()
    answers = {
        "is_available": lambda: True,
        "is_initialized": lambda: initialized,
        "device_count": lambda: len(cards),
        "get_device_name": lambda device: cards[device.index or 0],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)


def forbid(monkeypatch):
    """Let torch report a GPU, and fail at everything that would start CUDA."""
    simulate(monkeypatch, (H200,), initialized=False)

    def started(*_args, **_kwargs):
        raise AssertionError("CUDA was started")

    monkeypatch.setattr(torch.cuda, "_lazy_init", started)
    monkeypatch.setattr(torch.cuda, "get_device_name", started)
