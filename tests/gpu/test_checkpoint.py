"""Tests on a GPU: best weights are copied to pinned memory, and a state on the GPU survives a checkpoint."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from baselines.adam import Adam
from benchmarks.training import archive
from benchmarks.training.counters import RunCounters
from benchmarks.training.state import copy_weights, load_state, state_of, weights_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda", 0)


def built(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.Linear(64, 1)).to(CUDA)
    opt = Adam(model, lr=1e-3)
    return model, opt, LambdaLR(opt, lambda step: 1.0)


def test_best_weights_are_copied_to_pinned_memory_that_is_reused():
    model, _, _ = built(0)
    # The weights change on the GPU until just before the copy.
    x = torch.randn(4096, 4096, device=CUDA)
    with torch.no_grad():
        for _ in range(20):
            x = (x @ x).tanh()
        model[0].weight.copy_(x[:64, :64])
    copied = copy_weights(model, None)
    assert all(t.is_pinned() for t in copied.values())
    assert torch.equal(copied["0.weight"], x[:64, :64].cpu())
    addresses = [t.data_ptr() for t in copied.values()]
    assert [t.data_ptr() for t in copy_weights(model, copied).values()] == addresses


def test_copying_and_saving_take_no_memory_of_the_gpu(tmp_path):
    model, opt, scheduler = built(0)
    state = state_of(model, opt, scheduler, RunCounters({}))
    torch.cuda.reset_peak_memory_stats(CUDA)
    before = torch.cuda.memory_allocated(CUDA)
    copy_weights(model, None)
    archive.write(tmp_path / "state.pt", state)
    assert torch.cuda.max_memory_allocated(CUDA) == before


def test_a_state_on_the_gpu_is_restored_bit_for_bit(tmp_path):
    x = torch.randn(32, 64, device=CUDA)

    def steps(model, opt):
        for _ in range(3):
            opt.step(fo_loss=lambda: nn.functional.dropout(model(x)).square().mean())

    model, opt, scheduler = built(0)
    steps(model, opt)
    archive.write(tmp_path / "state.pt", state_of(model, opt, scheduler, RunCounters({})))
    steps(model, opt)
    resumed, other, scheduler = built(1)
    load_state(archive.read(tmp_path / "state.pt"), resumed, other, scheduler)
    steps(resumed, other)
    expected = weights_of(model)
    assert all(torch.equal(t, expected[name]) for name, t in weights_of(resumed).items())
