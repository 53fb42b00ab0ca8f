"""Tests of launches, and of the bytes that the kernels move, counted at each load and store."""

from collections import Counter

import pytest
import torch
from triton.runtime.interpreter import interpreter_builder

from addax.kernels import launch, table
from addax.kernels.perturb import perturb
from addax.kernels.update import update

SMALL, LARGE = (3, 700), (2048, 2500)


@pytest.fixture
def moved(on_cpu, monkeypatch):
    """Count the bytes of unmasked elements that loads and stores move, by (operation, bytes per element)."""
    counts = Counter()
    load, store = interpreter_builder.create_masked_load, interpreter_builder.create_masked_store

    def counting_load(pointers, mask, *rest):
        size = pointers.get_element_ty().primitive_bitwidth // 8
        counts["read", size] += int(mask.data.sum()) * size
        return load(pointers, mask, *rest)

    def counting_store(pointers, value, mask, *rest):
        size = pointers.get_element_ty().primitive_bitwidth // 8
        counts["written", size] += int(mask.data.sum()) * size
        return store(pointers, value, mask, *rest)

    monkeypatch.setattr(interpreter_builder, "create_masked_load", counting_load)
    monkeypatch.setattr(interpreter_builder, "create_masked_store", counting_store)
    return counts


@pytest.fixture
def launches(monkeypatch):
    """Record the traffic that each launch announces."""
    announced, real = [], launch.launch

    def recording(kernel, programs, device, arguments, traffic, **constants):
        announced.append(traffic)
        real(kernel, programs, device, arguments, traffic, **constants)

    monkeypatch.setattr(launch, "launch", recording)
    monkeypatch.setattr(launch, "SMALL", 1000)
    return announced


def tensors(dtype=torch.bfloat16):
    return [torch.ones(n, dtype=dtype) for n in SMALL + LARGE]


def check(moved, launches, bytes_per_weight, overhead):
    """Compare what was moved with what was announced, except for tables, coefficients, and flags."""
    total = sum(SMALL + LARGE)
    assert sum(traffic.weights for traffic in launches) == total
    assert {traffic.bytes_per_weight for traffic in launches} == {bytes_per_weight}
    assert sum(moved.values()) - overhead == bytes_per_weight * total
    # One launch per large tensor, and one for all small ones.
    assert len(launches) == len(LARGE) + 1


# The table has five fields per span, and both small tensors have one span.
TABLE = 8 * 5 * len(SMALL)
# Each program reads its coefficients: one of the small tensors and of 2,048 elements, and one of 2,500.
PROGRAMS = len(SMALL) + len(LARGE)


@pytest.mark.parametrize("direction", ["normal", "rademacher"])
def test_a_perturbation_reads_and_writes_each_weight_once(moved, launches, direction):
    perturb([(t, torch.empty_like(t), i) for i, t in enumerate(tensors())], 0, 1e-3, direction)
    check(moved, launches, 4, TABLE)


@pytest.mark.parametrize("count", [1, 3])
def test_an_update_reads_and_writes_each_weight_once(moved, launches, count):
    coefficients = torch.full((count + 1,), 1e-3)
    items = [(t, i, None) for i, t in enumerate(tensors())]
    update(items, 0, directions=range(count), coefficients=coefficients)
    check(moved, launches, 4, TABLE + 4 * count * PROGRAMS)


@pytest.mark.parametrize(("grad_dtype", "expected"), [(torch.bfloat16, 6), (torch.float32, 8)])
def test_an_update_also_reads_each_element_of_the_gradient_once(moved, launches, grad_dtype, expected):
    coefficients, flag = torch.full((2,), 1e-3), torch.zeros((), dtype=torch.int32)
    items = [(t, i, torch.ones(t.shape, dtype=grad_dtype)) for i, t in enumerate(tensors())]
    update(items, 0, directions=[1], coefficients=coefficients, not_finite=flag)
    check(moved, launches, expected, TABLE + 4 * 2 * PROGRAMS)


def test_a_small_tensor_that_is_alone_needs_no_table(moved, launches, monkeypatch):
    monkeypatch.setattr(table, "_upload", None)
    theta = torch.ones(300, dtype=torch.bfloat16)
    update([(theta, 0, None)], 0, directions=[1], coefficients=torch.ones(2))
    assert len(launches) == 1
    assert sum(moved.values()) == 4 * 300 + 4
