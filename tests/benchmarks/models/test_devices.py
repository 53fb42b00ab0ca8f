"""Tests of the choice of a device, and of loading to one, with simulated drivers and GPUs."""

import re

import pytest
import torch

from benchmarks import models
from benchmarks.errors import UserError
from benchmarks.models import _devices, _trainable, _transformers
from tests.benchmarks.models.nano_models import nano
from tests.benchmarks.training.tiny_runs import row_of, tiny

OLD = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n"
NEW = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (root@build)\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that simulates a machine without a usable GPU."""

    def become(driver, cuda="13.0", visible=None):
        monkeypatch.setattr(_devices, "DRIVER", tmp_path / "version")
        if driver is not None:
            _devices.DRIVER.write_text(driver)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return become


@pytest.mark.parametrize(
    ("driver", "cuda", "expected"),
    [
        (
            OLD,
            "13.0",
            r"535\.129\.03 is too old .* CUDA 13\.0 needs driver 580 .*\+cu126 --index-url .*/cu126",
        ),
        (NEW, "13.0", r"driver 580\.65\.06 is installed; check CUDA_VISIBLE_DEVICES and nvidia-smi"),
        (OLD, "12.8", r"driver 535\.129\.03 is installed; check CUDA_VISIBLE_DEVICES and nvidia-smi"),
        (OLD, None, r"driver 535\.129\.03 is installed, but torch .* is built without CUDA"),
        ("NVRM version: none\n", "13.0", r"driver of unknown version is installed; check"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_reported_in_one_line(machine, capsys, driver, cuda, expected):
    machine(driver, cuda)
    assert _devices.device_of(None) == "cpu"
    line = capsys.readouterr().err
    assert line.startswith("running on the CPU: ")
    assert line.count("\n") == 1
    assert re.search(expected, line)
    with pytest.raises(UserError, match=expected) as caught:
        _devices.device_of("cuda")
    assert "\n" not in str(caught.value)


def test_a_machine_without_a_driver_runs_on_the_cpu_silently(machine, capsys):
    machine(driver=None)
    assert _devices.device_of(None) == "cpu"
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UserError, match="cuda:1: torch finds no GPU on this machine; use --device cpu"):
        _devices.device_of("cuda:1")


@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_user_who_hides_the_gpus_gets_no_line(machine, capsys, visible):
    machine(OLD, visible=visible)
    assert _devices.device_of(None) == "cpu"
    assert capsys.readouterr() == ("", "")
    with pytest.raises(UserError, match=f"CUDA_VISIBLE_DEVICES={visible} hides every GPU"):
        _devices.device_of("cuda")


class Initialized(Exception):
    """CUDA was initialized."""


@pytest.fixture
def two_gpus(monkeypatch):
    """Simulate a machine with two GPUs, on which initializing CUDA is an error."""

    def initialize():
        raise Initialized

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "_lazy_init", initialize)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "current_stream", initialize)


def test_the_name_of_a_device_is_checked(two_gpus):
    for name in ("cpu", "cuda", "cuda:1", "auto"):
        assert _devices.device_of(name) == name
    assert _devices.device_of(None) == "cuda"
    with pytest.raises(UserError, match="cuda:2: torch finds no such GPU; the last one is cuda:1"):
        _devices.device_of("cuda:2")
    for name in ("gpu", "cuda1", "cuda:", "cuda:one", "cudnn"):
        with pytest.raises(UserError, match=f"--device {name}: must be cpu, cuda, cuda:N, or auto"):
            _devices.device_of(name)


def test_nothing_on_the_cpu_initializes_cuda(two_gpus):
    model = nano("nano-roberta", head="classification", num_labels=2).model
    _trainable.select(model, "lora:2")
    meta = models.build(models.load_config("nano-opt"), dtype=torch.float32, device="meta")
    _trainable.select(meta, "lora:2")


@pytest.mark.parametrize("method", ["addax", "adam", "mezo-svrg"])
def test_a_run_on_the_cpu_does_not_initialize_cuda(two_gpus, monkeypatch, method):
    assert row_of(tiny(method, device="cpu"))["status"] == "done"


@pytest.fixture
def gpu(monkeypatch):
    """Simulate a machine with one Turing GPU, whose tensors are on the CPU.

    The result holds the GPU's generator, and the values that it gives while a model is loaded.
    """
    generator, values = torch.Generator().manual_seed(5), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "default_generators", (generator,))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda index: generator.get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, index: generator.set_state(state))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Tesla T4")
    real = _transformers.auto_class

    class OnTheCpu:
        """An Auto class that loads every part of a model to the CPU."""

        def __init__(self, *kind):
            self.kind = kind

        def from_pretrained(self, *args, device_map, **more):
            # A new head on a GPU takes its values from the GPU's generator.
            values.append(torch.randn(3, generator=generator))
            return real(*self.kind).from_pretrained(*args, device_map=None, **more)

        def from_config(self, *args, **more):
            # `models.build` sets the default device, which is a GPU that does not exist.
            with torch.device("meta"):
                return real(*self.kind).from_config(*args, **more)

    monkeypatch.setattr(_transformers, "auto_class", OnTheCpu)
    _devices._say.cache_clear()
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield generator, values
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize(
    "device", ["cuda", "cuda:0", "auto", {"": 0}, {"model": "cuda:0", "lm_head": "disk"}]
)
def test_loading_to_a_gpu_turns_the_attention_of_cudnn_off(gpu, device):
    nano("nano-opt")
    assert torch.backends.cuda.cudnn_sdp_enabled()
    nano("nano-opt", device=device)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_building_on_a_gpu_turns_the_attention_of_cudnn_off(gpu):
    config = models.load_config("nano-opt")
    models.build(config, dtype=torch.float32, device="meta")
    assert torch.backends.cuda.cudnn_sdp_enabled()
    models.build(config, dtype=torch.float32, device="cuda")
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_the_generator_of_a_gpu_is_seeded_and_restored(gpu):
    generator, values = gpu
    before = generator.get_state()
    nano("nano-opt", device="cuda")
    assert torch.equal(generator.get_state(), before)
    seeded = torch.Generator().manual_seed(models.HEAD_SEED)
    assert torch.equal(*values, torch.randn(3, generator=seeded))


def test_emulated_bfloat16_is_reported_once(gpu, capsys):
    nano("nano-opt", device="cuda")
    assert capsys.readouterr().err == ""
    for _ in range(2):
        nano("nano-opt", device="cuda", dtype=torch.bfloat16)
    line = capsys.readouterr().err
    assert line == (
        "Tesla T4 has no bfloat16 arithmetic, so torch emulates it slowly: use float16 or float32\n"
    )


def test_bfloat16_on_an_ampere_gpu_is_not_reported(gpu, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 0))
    nano("nano-opt", device="cuda", dtype=torch.bfloat16)
    assert capsys.readouterr().err == ""
