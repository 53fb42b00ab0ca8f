"""Tests of the assignment of workers to GPUs."""

import os

import pytest
import torch

from benchmarks.sweep.cards import assign, visible_cards


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that simulates a number of visible GPUs."""

    def see(count, given=None):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if given is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return see


@pytest.mark.parametrize(
    ("count", "given", "names"),
    [
        (0, None, ()),
        (3, None, ("0", "1", "2")),
        (2, "2,5", ("2", "5")),
        (2, "GPU-8f1, GPU-3a", ("GPU-8f1", "GPU-3a")),
        # CUDA ignores the first invalid name and what follows it.
        (1, "3,-1,0", ("3",)),
        (0, "", ()),
        # torch counts one MIG instance, the only one that a process can use.
        (1, "MIG-1c,MIG-GPU-9/2/0", ("MIG-1c", "MIG-GPU-9/2/0")),
    ],
)
def test_gpus_have_the_names_of_the_environment_variable(gpus, count, given, names):
    gpus(count, given)
    assert visible_cards() == names


@pytest.mark.parametrize(
    ("devices", "jobs", "runs", "expected"),
    [
        ({"cuda"}, None, 9, (2, ("4", "6"))),
        ({"cuda"}, None, 1, (1, ("4", "6"))),
        ({"cuda"}, 5, 9, (5, ("4", "6"))),
        ({"cuda", "cpu"}, None, 9, (2, ("4", "6"))),
        ({"cuda:1"}, None, 9, (1, ())),
        ({"cuda", "cuda:1"}, 3, 9, (3, ())),
        ({"auto"}, None, 9, (1, ())),
        ({"cpu"}, 3, 9, (3, ())),
        ({"cpu"}, None, 10_000, (os.cpu_count(), ())),
    ],
)
def test_workers_get_gpus_only_if_every_run_accepts_any(gpus, devices, jobs, runs, expected):
    gpus(2, "4,6")
    assert assign(devices, jobs, runs) == expected


def test_a_sweep_on_the_cpu_does_not_count_gpus(monkeypatch):
    monkeypatch.delattr(torch.cuda, "device_count")
    assert assign({"cpu"}, 1, 1) == (1, ())
