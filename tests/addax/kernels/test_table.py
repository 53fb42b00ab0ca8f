"""Tests of the table of small tensors, and of calls with tensors that have no values."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from addax.kernels import launch, table
from addax.kernels.draw import draw
from addax.kernels.launch import Item
from addax.kernels.perturb import perturb
from addax.kernels.update import update
from tests.numerics.oracle import CPU


@pytest.fixture
def uploads(monkeypatch):
    """Record the rows of every table that is built, and forget the tables that were kept."""
    rows, real = [], table._upload

    def recording(entries, device):
        rows.append(entries)
        return real(entries, device)

    monkeypatch.setattr(table, "_upload", recording)
    table._kept.cache_clear()
    yield rows
    table._kept.cache_clear()


def test_a_table_has_one_row_per_span():
    a, b = torch.ones(4097), torch.ones(3)
    built = table.table_of([Item(a, b, 7), Item(b, None, 2)], keep=False)
    assert built.tolist() == [
        [a.data_ptr(), b.data_ptr(), 4097, 7, 0],
        [a.data_ptr(), b.data_ptr(), 4097, 7, 8],
        [b.data_ptr(), 0, 3, 2, 0],
    ]


def test_a_table_is_built_once_for_the_same_tensors(on_cpu, uploads):
    sources = [torch.ones(5), torch.ones(6)]
    outs = [torch.ones(5), torch.ones(6)]
    items = [(s, o, i) for i, (s, o) in enumerate(zip(sources, outs, strict=True))]
    for seed in range(3):
        perturb(items, seed, 1e-3)
    assert len(uploads) == 1
    for i, (source, out, _) in enumerate(items):
        assert torch.equal(out, source + draw(2, i, source.shape, CPU) * 1e-3)
    # Another index, and a shorter view of the same memory, are other tables.
    perturb([(s, o, i + 1) for s, o, i in items], 0, 1e-3)
    perturb([(s[:3], o[:3], i) for s, o, i in items], 0, 1e-3)
    assert len(uploads) == 3


def test_tables_with_gradients_are_not_kept(on_cpu, uploads):
    thetas, flag = [torch.ones(5), torch.ones(6)], torch.zeros((), dtype=torch.int32)
    for _ in range(2):
        items = [(t, i, torch.ones_like(t)) for i, t in enumerate(thetas)]
        update(items, 0, coefficients=torch.ones(1), not_finite=flag)
    assert len(uploads) == 2
    assert table._kept.cache_info().currsize == 0


def test_a_table_is_copied_from_pinned_memory_without_waiting(monkeypatch):
    """On CUDA, a waiting copy would stop the host once per module."""
    asked = {}
    real_tensor, real_to = torch.tensor, torch.Tensor.to

    def tensor(data, *, dtype, pin_memory):
        asked["pin_memory"] = pin_memory
        return real_tensor(data, dtype=dtype)

    def to(self, device, **options):
        asked.update(options, device=device)
        return real_to(self, "cpu")

    monkeypatch.setattr(torch, "tensor", tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    table._upload([(1, 2, 3, 4)], torch.device("cuda", 1))
    assert asked == {"pin_memory": True, "non_blocking": True, "device": torch.device("cuda", 1)}


def test_each_stream_has_tables_of_its_own(uploads, monkeypatch):
    """A table that is still being copied on one stream must not be read on another."""
    for stream in (11, 12, 11):
        table._kept(((1, 2, 3, 4),), CPU, stream)
    assert len(uploads) == 2


def fail(*args, **kwargs):
    raise AssertionError("a kernel was launched")


@pytest.mark.parametrize("kind", ["meta", "fake"])
def test_tensors_without_values_start_no_kernel(monkeypatch, kind):
    """The only allocation is the table of the small tensors: 40 bytes per span."""
    monkeypatch.setattr(launch, "launch", fail)
    with FakeTensorMode() if kind == "fake" else torch.device("meta"):
        device = "cuda" if kind == "fake" else "meta"
        thetas = [torch.empty(n, device=device, dtype=torch.bfloat16) for n in (3, 5000, 1 << 20)]
        coefficients = torch.empty(2, device=device)
        flag = torch.empty((), device=device, dtype=torch.int32)
        perturb([(t, t, i) for i, t in enumerate(thetas)], 0, 1e-3)
        update([(t, i, None) for i, t in enumerate(thetas)], 0, directions=[1], coefficients=coefficients)
        update(
            [(t, i, t) for i, t in enumerate(thetas)],
            0,
            directions=[1],
            coefficients=coefficients,
            not_finite=flag,
        )
        assert table.table_of([Item(t, None, 0) for t in thetas[:2]], keep=True).shape == (3, 5)
        assert draw(0, 0, torch.Size([5, 2]), torch.device(device)).shape == (5, 2)
