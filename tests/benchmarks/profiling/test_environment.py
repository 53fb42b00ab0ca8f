"""Tests of the provenance fields of a row."""

import pytest
import torch

from benchmarks.profiling import environment
from benchmarks.profiling.devices import devices_of
from benchmarks.profiling.environment import provenance_fields
from tests.benchmarks.profiling.simulated_gpus import A100, H200, forbid, simulate


def test_provenance_names_versions_hardware_and_commit():
    fields = provenance_fields("cpu")
    assert fields["versions"]["torch"] == torch.__version__
    assert fields["versions"]["addax"]
    assert fields["threads"] == torch.get_num_threads()
    assert "cores" in fields["hardware"]
    assert "gpus" not in fields
    assert fields["git_commit"] is None or len(fields["git_commit"]) == 40


def test_without_git_the_commit_is_null(monkeypatch):
    environment._commit.cache_clear()
    monkeypatch.setenv("PATH", "")
    fields = provenance_fields("cpu")
    environment._commit.cache_clear()
    assert (fields["git_commit"], fields["git_dirty"]) == (None, None)


def test_a_cpu_row_on_a_machine_with_a_gpu_names_the_cpu_and_leaves_cuda_alone(monkeypatch):
    forbid(monkeypatch)
    assert "cores" in provenance_fields(*devices_of("cpu"))["hardware"]


@pytest.mark.parametrize(
    ("device", "hardware", "gpus"),
    [("cuda", H200, 1), ("cuda:1", A100, 1), ("auto", f"2 x {H200}, {A100}", 3)],
)
def test_a_gpu_row_names_the_cards_of_its_run_and_counts_them(monkeypatch, device, hardware, gpus):
    simulate(monkeypatch, (H200, A100, H200))
    fields = provenance_fields(*devices_of(device))
    assert (fields["hardware"], fields["gpus"]) == (hardware, gpus)


def test_a_process_that_has_not_used_a_gpu_does_not_name_it(monkeypatch):
    forbid(monkeypatch)
    assert provenance_fields("cuda")["hardware"] is None
