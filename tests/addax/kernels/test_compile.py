"""Tests that the kernels compile for real cards (no GPU is needed), and of the code that comes out."""

import re
from collections import defaultdict
from functools import partial

import pytest
import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from addax.kernels import draw, launch, perturb, update, update_kernels

pytestmark = pytest.mark.skipif(not isinstance(draw._draw, JITFunction), reason="TRITON_INTERPRET is set")

THREADS = 128
# Integer arguments are annotated with their types.
ONE = {"SIGNS": False, "ROWS": 8, "WIDTH": launch.WIDTH}
SIGNS = {"SIGNS": True, "ROWS": 32, "WIDTH": launch.WIDTH}
NO_GRAD = {"grad": None, "not_finite": None, "HAS_GRAD": False}
# For each kernel: its pointers, its constants, the bytes per weight, and the fused multiply-adds per weight.
# Box and Muller's transform takes 18 for two normals.
CASES = {
    "perturb": (perturb._perturb_one, {"source": "*bf16", "out": "*bf16"}, ONE, 4, 9),
    "perturb float64": (perturb._perturb_one, {"source": "*fp64", "out": "*fp64"}, SIGNS, 16, 0),
    "perturb table": (
        perturb._perturb_table,
        {"table": "*i64"},
        {**SIGNS, "ROWS": 8, "DTYPE": tl.bfloat16, "FIELDS": 5},
        4,
        0,
    ),
    "update": (
        update_kernels.update_one,
        {"theta": "*bf16", "coefficients": "*fp32"},
        {**ONE, **NO_GRAD, "COUNT": 1, "STOCHASTIC": True},
        4,
        9,
    ),
    "update with gradient": (
        update_kernels.update_one,
        {"theta": "*bf16", "grad": "*bf16", "not_finite": "*i32", "coefficients": "*fp32"},
        {**SIGNS, "COUNT": 3, "HAS_GRAD": True, "STOCHASTIC": True},
        6,
        0,
    ),
    "update table": (
        update_kernels.update_table,
        {"table": "*i64", "not_finite": "*i32", "coefficients": "*fp32"},
        {
            **ONE,
            "COUNT": 1,
            "HAS_GRAD": True,
            "STOCHASTIC": True,
            "DTYPE": tl.float16,
            "GRAD_DTYPE": tl.float16,
            "FIELDS": 5,
        },
        6,
        9,
    ),
}


def compiled(kernel, pointers, constants, arch):
    """Compile a kernel with the options of `launch`, and return its PTX."""
    signature = {
        p.name: "constexpr" if p.name in constants else pointers.get(p.name) or p.annotation_type
        for p in kernel.params
    }
    source = ASTSource(kernel, signature, constants)
    options = {"num_warps": THREADS // 32, "num_stages": 1, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options).asm["ptx"]


@pytest.mark.medium
@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("name", CASES)
def test_kernels_compile_to_code_that_is_the_same_on_all_cards(name, arch, tmp_path, monkeypatch):
    """No approximation, no flushing of subnormals, no contraction, no barrier; each weight moves once."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel, pointers, constants, bytes_per_weight, fused = CASES[name]
    ptx = compiled(kernel, pointers, constants, arch)
    assert not re.findall(r"\.approx|\.ftz|\.full\.|bar\.sync|\.local", ptx)
    assert "bf16" not in ptx
    # The loop over rows is not unrolled: its body handles four rows.
    weights = 4 * launch.WIDTH // THREADS
    size = 64 if "float64" in name else 16
    assert len(re.findall(r"fma\.rn\.f\d\d", ptx)) == fused * weights
    accesses = len(re.findall(rf"(?:ld|st)\.global\S*\.b{size}\b", ptx))
    assert accesses * size // 8 == bytes_per_weight * weights


class Card:
    """A driver for a card that is not there."""

    def get_current_device(self):
        """Return the index of the current device."""
        return 0

    def get_current_stream(self, device):
        """Return a stream."""
        return 0

    def get_current_target(self):
        """Return what to compile for."""
        return GPUTarget("cuda", 90, 32)


@pytest.fixture
def compilations(tmp_path, monkeypatch):
    """Let calls bind their arguments and compile as on a card, without running. Return what is compiled."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", Card())
    monkeypatch.setattr(
        JITFunction, "__getitem__", lambda self, grid: partial(self.run, grid=grid, warmup=True)
    )
    compiled = []
    for kernel in (perturb._perturb_one, update_kernels.update_table, draw._draw):
        monkeypatch.setattr(kernel, "device_caches", defaultdict(kernel.create_binder))
    monkeypatch.setattr(
        triton.knobs.runtime, "jit_post_compile_hook", lambda *, fn, **rest: compiled.append(fn.name)
    )
    return compiled


def test_values_of_arguments_do_not_compile_another_variant(compilations, monkeypatch):
    """Neither sizes, indices, seeds, scales, nor the alignment of addresses matter."""
    keys = iter([(0, 1), (1, 2**32 - 1), (16, 2**31)] * 2)
    monkeypatch.setattr(perturb, "key_of", lambda seed: next(keys))
    buffer = torch.empty(70000, dtype=torch.bfloat16)
    for size, start, index, scale in ((1, 0, 0, 1.0), (16, 3, 1, -1.0), (69000, 16, 32767, 5e-324)):
        part = buffer[start : start + size]
        perturb.perturb([(part, part, index)], 0, scale)
    assert len(compilations) == 1
    perturb.perturb([(buffer, buffer, 0)], 0, 1.0, "rademacher")
    assert len(compilations) == 2
    draw.draw(0, 0, torch.Size([3]), torch.device("cpu"))
    assert len(compilations) == 3


def test_updates_of_several_small_tensors_compile_once(compilations):
    thetas = [torch.ones(5), torch.ones(16)]
    for seed in (0, 1, 2**40):
        items = [(theta, i, None) for i, theta in enumerate(thetas)]
        update.update(items, seed, directions=[seed], coefficients=torch.ones(2))
    assert len(compilations) == 1
