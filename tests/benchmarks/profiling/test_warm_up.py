"""Tests of the warm-up of GPUs, with CPU tensors in their place."""

import pytest
import torch

from benchmarks.profiling import warm_up as module
from benchmarks.profiling.warm_up import warm_up
from tests.benchmarks.profiling.simulated_gpus import forbid

GPUS = [torch.device("cuda", index) for index in range(2)]


@pytest.fixture
def events(monkeypatch):
    """Return the list of (card, dtype) of every backward pass, and of the cards that were waited for."""
    found, ones = [], torch.ones

    def on_a_cpu(*size, device, **options):
        tensor = ones(*size, **options)
        tensor.register_hook(lambda _: found.append((device, tensor.dtype)))
        return tensor

    monkeypatch.setattr(module.torch, "ones", on_a_cpu)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: found.append(device))
    return found


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_every_gpu_multiplies_forward_and_backward_and_is_waited_for(events, dtype):
    warm_up([torch.device("cpu"), *GPUS], dtype)
    assert events == [(GPUS[0], dtype), GPUS[0], (GPUS[1], dtype), GPUS[1]]


def test_a_run_on_a_cpu_leaves_cuda_alone(monkeypatch):
    forbid(monkeypatch)
    warm_up([torch.device("cpu")], torch.float32)
