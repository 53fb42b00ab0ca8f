"""Tests that wrappers that reduce gradients are rejected by name on every rank (two ranks, gloo)."""

import os
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from addax import Addax
from addax.wrappers import refuse_active_wrapper
from benchmarks.registry import ROOT, files
from tests.addax import wrapped
from tests.numerics.oracle import MLP, bits

pytestmark = pytest.mark.process

ALTERNATIVE = r"process_group=torch\.distributed\.group\.WORLD"
NAMES = {"accelerate": "DistributedDataParallel", "FullyShardedDataParallel, original parameters": "Fully"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run `wrapped.py` once for all tests of this file, and return the results of each rank."""
    folder = tmp_path_factory.mktemp("wrapped")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *command, wrapped.__file__, folder],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("place", wrapped.PLACES)
@pytest.mark.parametrize("wrapper", wrapped.WRAPPERS)
def test_a_wrapper_is_rejected_by_name_with_the_alternative(found, wrapper, place):
    for rank in found:
        for method in files("method"):
            for with_group in (False, True):
                message = rank[wrapper, place, method, with_group]
                assert re.search(NAMES.get(wrapper, wrapper), message), (method, message)
                assert re.search(ALTERNATIVE, message), (method, message)
                assert "\n" not in message


def test_the_module_inside_a_wrapper_with_a_process_group_keeps_the_ranks_equal(found):
    """This is the alternative that the errors name. It moves the parameters."""
    first, second = (rank["trajectories"] for rank in found)
    assert set(first) == set(files("method"))
    for method, end in first.items():
        assert end == second[method], method
        assert end != bits(MLP.build(torch.float32)), method


def test_a_hook_that_may_reduce_gradients_is_rejected_on_several_ranks(found):
    for rank in found:
        for message in rank["hooks"].values():
            assert re.search(r"'0\.weight' has a gradient hook \(.*lambda.*pass process_group", message)


def test_several_processes_without_a_process_group_get_a_warning_at_the_callers_line(found):
    for rank in found:
        for when, first in (
            ("early", r"call torch\.distributed\.init_process_group\(\) and "),
            ("later", ""),
        ):
            ((message, file),) = rank[f"warned {when}"]
            assert re.fullmatch(
                rf"Addax has no process_group, so each of the 2 processes trains its own model: {first}pass "
                + ALTERNATIVE,
                message,
            )
            assert file == wrapped.__file__
        assert rank["not warned"] == []


@pytest.mark.parametrize("world", [None, "1", "", "x"])
def test_a_single_process_gets_no_warning(world, monkeypatch, recwarn):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world is not None:
        monkeypatch.setenv("WORLD_SIZE", world)
    Addax(MLP.build(torch.float32), lr=0.1)
    assert not recwarn.list


def test_a_wrapper_inside_the_model_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.DataParallel(nn.Linear(2, 1)))
    with pytest.raises(ValueError, match=rf"module '1' is a DataParallel, .*\(\.module\), .* {ALTERNATIVE}"):
        Addax(model, lr=0.1)


def test_a_wrapper_of_another_model_does_not_affect_a_step(monkeypatch):
    """After an error in its forward, torch's wrapper stays marked as active."""
    from torch.nn.parallel import DistributedDataParallel

    model, other = MLP.build(torch.float32), MLP.build(torch.float32)
    monkeypatch.setattr(DistributedDataParallel, "_active_ddp_module", other)
    refuse_active_wrapper(model[0])
    with pytest.raises(ValueError, match="runs Linear inside DistributedDataParallel"):
        refuse_active_wrapper(other[0])
