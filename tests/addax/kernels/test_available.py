"""Tests of why the kernels cannot run on a device. CUDA is simulated."""

import sys

import pytest
import torch
import triton

from addax.kernels import available, draw
from addax.kernels.available import unavailable
from tests.numerics.oracle import CPU

CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def forget():
    """Forget the reasons before and after a test."""
    available._reason.cache_clear()
    yield
    available._reason.cache_clear()


def test_other_devices_are_named():
    assert unavailable(CPU) == "the kernels need a CUDA device, not cpu"
    assert unavailable(torch.device("meta")) == "the kernels need a CUDA device, not meta"


def test_missing_triton_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert unavailable(CUDA).startswith("triton is missing: ModuleNotFoundError: import of triton halted")


@pytest.mark.parametrize("version", ["3.5.1", "2.9.0+git1"])
def test_an_old_triton_is_a_reason(monkeypatch, version):
    monkeypatch.setattr(triton, "__version__", version)
    assert unavailable(CUDA) == f"triton {version} is too old: the kernels need 3.6"


def test_the_interpreter_cannot_read_a_gpu(monkeypatch):
    monkeypatch.setattr(triton.knobs.runtime, "interpret", True)
    assert unavailable(CUDA).startswith("TRITON_INTERPRET is set")


def test_the_first_line_of_a_failed_compilation_is_the_reason(monkeypatch):
    def fail(*args):
        raise RuntimeError("ptxas: no such target sm_70\nmore\nlines")

    monkeypatch.setattr(draw, "draw", fail)
    assert unavailable(CUDA) == "a trial kernel failed: RuntimeError: ptxas: no such target sm_70"


def test_no_cuda_at_all_is_a_reason_and_not_an_error():
    """A build of torch without CUDA raises when it is asked for the current device."""
    reason = unavailable(torch.device("cuda"))
    assert torch.cuda.is_available() or (reason and "\n" not in reason)


@pytest.mark.parametrize("direction", ["normal", "rademacher"])
@pytest.mark.parametrize("wrong", [lambda z: z * 1.0001, lambda z: -z, lambda z: z * float("nan")])
def test_wrong_z_is_a_reason(on_cpu, monkeypatch, direction, wrong):
    real = draw.draw

    def broken(step_seed, index, shape, device, asked):
        z = real(step_seed, index, shape, CPU, asked)
        return wrong(z) if asked == direction else z

    monkeypatch.setattr(draw, "draw", broken)
    assert unavailable(CUDA).startswith(f"a trial kernel computed a wrong {direction} z: ")


def test_right_z_is_enough_and_the_answer_is_kept(on_cpu, monkeypatch):
    real, calls = draw.draw, []

    def counted(step_seed, index, shape, device, direction):
        calls.append(device)
        return real(step_seed, index, shape, CPU, direction)

    monkeypatch.setattr(draw, "draw", counted)
    assert unavailable(CUDA) is None
    assert unavailable(CUDA) is None
    assert calls == [CUDA, CUDA]
    assert unavailable(torch.device("cuda", 1)) is None
    assert len(calls) == 4
