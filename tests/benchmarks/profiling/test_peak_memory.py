"""Tests of live tensor bytes against sizes counted by hand and torch's profiler."""

import gc

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import models
from benchmarks.profiling.peak_memory import LiveBytes, PeakMemory, tensors_of

KIB = 1024


def kib(n):
    return torch.empty(n * KIB // 4)


def test_resident_storages_count_once():
    a = kib(4)
    tracker = LiveBytes([a, a.view(2, -1), a[:3], a.detach(), kib(1).add_(0)])
    # The fifth tensor has no reference, so it is freed by now.
    gc.collect()
    assert tracker.live == 4 * KIB
    assert tracker.peak == 5 * KIB


def test_views_and_in_place_operators_allocate_nothing():
    a = kib(4)
    with LiveBytes([a]) as tracker:
        views = [a[1:], a.view(-1, 2), a.t(), a.reshape(2, -1), a.detach(), a.unsqueeze(0), a.expand(3, -1)]
        a.mul_(2).add_(1)
        a.zero_()
        assert tracker.live == tracker.peak == 4 * KIB
        copied = a.view(-1, 2).t().contiguous()
        assert tracker.live == 8 * KIB
        del copied, views
        assert (tracker.live, tracker.peak) == (4 * KIB, 8 * KIB)


def test_a_storage_lives_as_long_as_any_view_of_it():
    with LiveBytes([]) as tracker:
        a = kib(8)
        part = a[:1]
        del a
        assert tracker.live == 8 * KIB
        del part
        assert tracker.live == 0
        b = kib(2) + kib(2)
        # Both operands are freed now, but during the sum all three tensors were alive.
        assert (tracker.live, tracker.peak) == (2 * KIB, 8 * KIB)
        del b
    assert tracker.live == 0


def test_the_peak_counts_tensors_that_are_alive_together():
    with LiveBytes([]) as tracker:
        for _ in range(5):
            a = kib(1)
            b = a * 2
            del a, b
        assert tracker.peak == 2 * KIB
        joined = torch.cat([torch.ones(256), torch.ones(256)])
        assert tracker.live == 2 * KIB
        assert tracker.peak == 4 * KIB
        del joined


def test_operators_with_several_outputs_or_views_are_counted():
    with LiveBytes([]) as tracker:
        values, indices = torch.sort(kib(2))
        # 512 float32 values and 512 int64 indices.
        assert tracker.live == 2 * KIB + 4 * KIB
        parts = values.split(128)
        assert tracker.live == 6 * KIB
        del values, indices
        assert tracker.live == 2 * KIB
        del parts
        assert tracker.live == 0


def test_tensors_saved_for_the_backward_pass_are_counted():
    x = torch.randn(64, 64, requires_grad=True)
    size = 64 * 64 * 4
    with LiveBytes([x]) as tracker:
        y = x.exp()
        z = y.sin()
        # exp saves its result and sin its input, which are the same tensor.
        assert tracker.live == 3 * size
        del y
        assert tracker.live == 3 * size
        loss = z.sum()
        del z
        # sum saves no tensor.
        assert tracker.live == 2 * size + 4
        loss.backward()
        del loss
        assert tracker.live == 2 * size
    assert x.grad is not None
    # Alive together: x, exp(x), and two or three temporaries of the backward pass. The gradient of sum is an
    # expanded scalar, which takes no memory.
    assert 4 * size <= tracker.peak <= 5 * size + 8


def test_tensors_freed_after_the_block_are_subtracted():
    a = kib(4)
    with LiveBytes([a]) as tracker:
        b = a + 1
    del b
    assert tracker.live == 4 * KIB
    c = a + 1
    assert tracker.live == 4 * KIB
    del c


def profiled_peak(step):
    """Return the highest sum of allocations minus frees that torch's CPU allocator reports in a step."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize("batch", [4, 16])
def test_a_nano_step_agrees_with_the_profiler_of_torch(batch):
    loaded = models.load("nano-llama", dtype=torch.float32, device="cpu", head="lm")
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=1e-3)
    tokens = torch.randint(10, 200, (batch, 48))

    def step():
        logits = loaded.model(input_ids=tokens, use_cache=False).logits
        nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    resident = tensors_of(loaded.model, optimizer)
    before = sum(
        t.untyped_storage().nbytes() for t in {t.untyped_storage()._cdata: t for t in resident}.values()
    )
    memory = PeakMemory([torch.device("cpu")])
    memory.heaviest_step(resident, step)
    profiled = profiled_peak(step)
    assert profiled > before / 3
    assert memory.peak - before == pytest.approx(profiled, rel=0.05)
    assert memory.how == "cpu live tensor bytes"


class Allocator:
    """The allocator of a simulated GPU: bytes in use, bytes reserved, and the peaks of both since a reset."""

    def __init__(self, live):
        self.live = self.reserved = self.peak = self.peak_reserved = live

    def use(self, size):
        """Allocate and free; the freed blocks stay reserved."""
        self.peak = max(self.peak, self.live + size)
        self.reserved = max(self.reserved, self.live + size)
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def empty(self):
        self.reserved = self.live

    def reset(self):
        self.peak, self.peak_reserved = self.live, self.reserved


def test_gpu_peaks_cover_training_only_and_all_gpus(monkeypatch):
    """What loading and evaluation left reserved is returned before training, so it is not in its peaks."""
    cards = [Allocator(10), Allocator(4)]
    cuda = {
        "synchronize": lambda d: None,
        "empty_cache": lambda: [card.empty() for card in cards],
        "reset_peak_memory_stats": lambda d: cards[d.index].reset(),
        "max_memory_allocated": lambda d: cards[d.index].peak,
        "max_memory_reserved": lambda d: cards[d.index].peak_reserved,
        # (free, total): another process uses 100 bytes of each GPU.
        "mem_get_info": lambda d: (10_000 - 100 - cards[d.index].reserved, 10_000),
    }
    for name, fake in cuda.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    memory = PeakMemory([torch.device("cuda", k) for k in (1, 0, 1)])
    cards[0].use(1000)  # loading
    with memory.training():
        cards[0].use(5)
        cards[1].use(2)
        assert memory.so_far() == 15 + 6
    cards[0].use(500)  # an evaluation
    with memory.training():
        cards[1].use(3)
    cards[1].use(700)
    assert (memory.peak, memory.reserved, memory.driver) == (21, 21, 21 + 200)
    assert memory.how == "cuda allocator"


def test_resident_tensors_are_parameters_buffers_and_optimizer_state():
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    found = tensors_of(model, optimizer)
    # weight, bias, scale, shift; mean, variance, count; a step and two moments per parameter.
    assert len(found) == 4 + 3 + 4 * 3
    assert len(tensors_of(model, torch.optim.SGD(model.parameters()))) == 7


def test_training_on_a_cpu_is_not_measured():
    memory = PeakMemory([torch.device("cpu")])
    with memory.training():
        kib(1)
    assert memory.peak is None
