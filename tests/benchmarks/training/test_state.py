"""Tests of the state of a run: weights and buffers are saved and restored, and the best ones are pinned."""

import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from baselines.sgd import SGD
from benchmarks.profiling.peak_memory import LiveBytes
from benchmarks.training import archive
from benchmarks.training.counters import RunCounters
from benchmarks.training.state import copy_weights, load_state, load_weights, state_of, weights_of
from tests.benchmarks.training.simulated_gpu import OnGpu, Stream


def normalized():
    """Return a model with a trainable and a frozen layer, batch normalization, and a cache."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[2].requires_grad_(False)
    model.register_buffer("cache", torch.ones(3), persistent=False)
    return model


def on_gpu(model, stream):
    """Move a model to the simulated GPU."""
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(OnGpu(p.detach(), stream), requires_grad=p.requires_grad))
        for name, b in list(module.named_buffers(recurse=False)):
            setattr(module, name, OnGpu(b, stream))
    return model


@pytest.fixture
def stream(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    return stream


def test_a_state_holds_trained_weights_and_persistent_buffers_only():
    names = {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    assert weights_of(normalized()).keys() == names | {"1.num_batches_tracked"}


def test_a_resumed_run_has_the_statistics_of_batch_normalization(tmp_path):
    """They are part of the outputs in evaluation mode."""
    data = torch.randn(16, 6)

    def built():
        model = normalized()
        opt = SGD(model, lr=0.1)
        return model, opt, LambdaLR(opt, lambda step: 1.0)

    def steps(model, opt):
        for batch in data.split(8):
            opt.step(fo_loss=lambda batch=batch: model(batch).square().mean())

    model, opt, scheduler = built()
    steps(model, opt)
    best = copy_weights(model, None)
    archive.write(tmp_path / "state.pt", state_of(model, opt, scheduler, RunCounters({})))
    steps(model, opt)
    resumed, opt, scheduler = built()
    load_state(archive.read(tmp_path / "state.pt"), resumed, opt, scheduler)
    at_save = resumed.eval()(data)
    steps(resumed.train(), opt)
    assert torch.equal(resumed.eval()(data), model.eval()(data))
    load_weights(best, model)
    assert torch.equal(model(data), at_save)
    assert not torch.equal(resumed(data), at_save)


def test_weights_of_another_model_are_an_error_that_names_one():
    weights = dict(weights_of(normalized()))
    del weights["1.running_mean"]
    with pytest.raises(ValueError, match=r"1\.running_mean"):
        load_weights(weights, normalized())


def test_a_second_copy_allocates_nothing():
    model = normalized()
    copied = copy_weights(model, None)
    resident = [*model.parameters(), *model.buffers(), *copied.values()]
    with LiveBytes(resident) as tracker:
        assert copy_weights(model, copied) is copied
    assert tracker.peak == sum(t.nbytes for t in resident)


def test_copies_from_a_gpu_go_to_pinned_memory_and_are_complete(stream):
    model = on_gpu(normalized(), stream)
    expected = {name: t.values.clone() for name, t in weights_of(model).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copied = copy_weights(model, None)
    assert not stream.pending
    assert copied.keys() == expected.keys()
    assert all(torch.equal(copied[name], expected[name]) for name in expected)
    assert stream.pinned == sum(t.nbytes for t in expected.values())
    model[0].weight.values.add_(1)
    assert copy_weights(model, copied) is copied
    assert torch.equal(copied["0.weight"], expected["0.weight"] + 1)
    # The buffers are pinned once.
    assert stream.pinned == sum(t.nbytes for t in expected.values())


def test_copies_work_and_say_so_if_the_system_pins_no_more(stream):
    model = on_gpu(normalized(), stream)
    stream.limit = 100
    with pytest.warns(UserWarning, match="pinned only .* GB for the best weights.*out of memory") as caught:
        copied = copy_weights(model, None)
    assert len(caught) == 1
    assert all(torch.equal(copied[name], t.values) for name, t in weights_of(model).items())
    assert 0 < stream.pinned <= 100
