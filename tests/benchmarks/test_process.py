"""Tests of the settings of processes that run models."""

import os
import runpy
import subprocess
import sys
from unittest import mock

import pytest

from benchmarks import cli
from benchmarks.process import ALLOCATOR, SPINNING, begin_worker, limit_spinning, set_allocator

GROWING = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.fixture(autouse=True)
def environment():
    """Remove the settings of the allocator, and restore the environment after the test."""
    kept = {name: value for name, value in os.environ.items() if name not in (*ALLOCATOR, *SPINNING)}
    with mock.patch.dict(os.environ, kept, clear=True):
        yield


def settings():
    return {name: os.environ[name] for name in ALLOCATOR if name in os.environ}


def test_segments_of_the_allocator_can_grow():
    set_allocator()
    assert settings() == GROWING


@pytest.mark.parametrize("name", ALLOCATOR)
def test_the_allocator_settings_of_the_user_are_kept(name):
    os.environ[name] = "max_split_size_mb:128"
    set_allocator()
    assert settings() == {name: "max_split_size_mb:128"}


def test_the_command_line_is_configured_before_it_runs_a_command(monkeypatch):
    found = []
    monkeypatch.setattr(cli, "main", lambda: found.append((settings(), os.environ["GOMP_SPINCOUNT"])) or 3)
    with pytest.raises(SystemExit, match="3"):
        runpy.run_module("benchmarks", run_name="__main__")
    assert found == [(GROWING, "10000")]


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")])
def test_the_users_settings_of_spinning_are_kept(name, value):
    os.environ[name] = value
    limit_spinning()
    assert {key: os.environ[key] for key in SPINNING if key in os.environ} == {name: value}


def test_workers_and_the_command_line_are_configured_before_torch_is_imported():
    script = "import sys, benchmarks.__main__, benchmarks.sweep.local; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_worker_without_a_gpu_of_its_own_keeps_the_visible_gpus():
    import torch

    os.environ["CUDA_VISIBLE_DEVICES"] = "1,2"
    begin_worker(torch.get_num_threads())
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"
    assert settings() == GROWING
