"""Tests that both evaluations of an estimate start from the same buffers."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from addax import forward_state, noise
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from tests.numerics.oracle import fill, generator

X = torch.randn(8, 4, generator=generator(0), dtype=torch.float64)
ARITHMETICS = pytest.mark.parametrize("arithmetic", ["exact", "released"])


class Stateful(nn.Module):
    """A layer with a buffer that its forward changes in some way."""

    def __init__(self, change) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("state", torch.zeros(4))
        self.change = change

    def forward(self, x):
        """Map `(batch, 4)` to `(batch, 4)`."""
        x = self.linear(x)
        self.change(self, x)
        return x + self.state.sum()


def in_place(module, x):
    module.state += x.mean(0)


def replaced(module, x):
    module.state = module.state + x.mean(0)


def grown(module, x):
    module.state.resize_(len(module.state) + 1).fill_(float(x.mean()))


def added(module, x):
    if hasattr(module, "second"):
        module.state.add_(module.second)
    module.register_buffer("second", x.mean(0))


def counted(module, x):
    if not hasattr(module, "count"):
        module.register_buffer("count", torch.zeros((), dtype=torch.int64))
    module.count += 1
    module.state.fill_(float(module.count))


class Quantized(nn.Module):
    """A layer with a quantization-aware training observer, which resizes and updates its buffers."""

    def __init__(self) -> None:
        super().__init__()
        from torch.ao.quantization import MovingAveragePerChannelMinMaxObserver

        self.linear = nn.Linear(4, 4)
        self.observer = MovingAveragePerChannelMinMaxObserver(ch_axis=1)

    def forward(self, x):
        """Map `(batch, 4)` to `(batch, 4)`."""
        x = self.linear(x)
        self.observer(x)
        return x + self.observer.max_val.sum()


MODELS = {
    "spectral norm": lambda: nn.Sequential(spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 1)),
    "batch norm": lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=0.9), Running()),
    "observer": Quantized,
    **{
        change.__name__: (lambda change=change: Stateful(change))
        for change in (in_place, replaced, grown, added, counted)
    },
}


class Running(nn.BatchNorm1d):
    """A batch norm that normalizes by its running statistics, which its forward has updated."""

    def __init__(self) -> None:
        super().__init__(4)

    def forward(self, x):
        """Map `(batch, 4)` to `(batch, 4)`."""
        super().forward(x)
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


def snapshot(model):
    """Return copies of all buffers by module and name."""
    return {m: {n: b.clone() for n, b in m.named_buffers(recurse=False)} for m in model.modules()}


def put_back(model, buffers):
    """Restore copies of all buffers, independently of the code under test."""
    for module in model.modules():
        module._buffers.clear()
        module._buffers.update({n: b.clone() for n, b in buffers[module].items()})


def oracle(model, opt, loss):
    """Return g0 from two evaluations of a moved model, both from the same buffers."""
    start, losses = snapshot(model), []
    theta = [p.detach().clone() for p in model.parameters()]
    for sign in (1, -1):
        with torch.no_grad():
            for (p, index), origin in zip(opt.indices.items(), theta, strict=True):
                z = noise.draw(opt.step_seed(), index, p.shape, p.device).double()
                p.copy_(origin + sign * opt.eps * z)
            put_back(model, start)
            losses.append(loss().item())
    with torch.no_grad():
        for p, origin in zip(model.parameters(), theta, strict=True):
            p.copy_(origin)
    after = snapshot(model)
    put_back(model, start)
    return (losses[0] - losses[1]) / (2 * opt.eps), after


@ARITHMETICS
@pytest.mark.parametrize("kind", MODELS)
def test_both_evaluations_start_from_the_same_buffers(kind, arithmetic):
    """After the step, the buffers are those that the second evaluation leaves."""
    model = fill(MODELS[kind](), torch.float64)
    opt = MeZO(model, lr=0.0, seed=1, arithmetic=arithmetic)
    for _ in range(3):

        def loss():
            return model(X).square().mean()

        expected, after = oracle(model, opt, loss)
        g0 = opt.step(zo_loss=loss).projected_grad.item()
        assert g0 == pytest.approx(expected, rel=1e-7)
        for module, buffers in snapshot(model).items():
            assert buffers.keys() == after[module].keys()
            for name, buffer in buffers.items():
                torch.testing.assert_close(buffer, after[module][name], rtol=1e-9, atol=1e-9)


def test_a_forward_that_seeds_torch_at_random_is_rejected():
    """As Reformer's does. A fixed seed is allowed."""
    model = nn.Linear(4, 1).double()
    opt = MeZO(model, lr=0.0)

    def loss(seed):
        seed()
        return (model(X) * torch.rand(())).mean()

    with torch.random.fork_rng([]):
        with pytest.raises(ValueError, match=r"two different seeds.*torch\.seed.*manual_seed"):
            opt.step(zo_loss=lambda: loss(torch.seed))
        opt.step(zo_loss=lambda: loss(lambda: torch.manual_seed(3)))


def test_large_packed_buffers_are_checked_instead_of_copied(monkeypatch):
    """Quantized weights are buffers too. A copy of them could need as much memory as the model."""
    monkeypatch.setattr(forward_state, "LARGEST_PACKED_COPY", 10)
    model = nn.Linear(4, 1).double()
    model.register_buffer("packed", torch.zeros(11, dtype=torch.uint8))
    opt = MeZO(model, lr=0.0)
    opt.step(zo_loss=lambda: model(X).mean())

    def loss():
        model.packed.add_(1)
        return model(X).mean()

    with pytest.raises(
        ValueError, match=r"changed buffer 'Linear\.packed'.*11 elements of torch\.uint8.*undo"
    ):
        opt.step(zo_loss=loss)
    model.packed = torch.zeros(10, dtype=torch.uint8)
    opt.step(zo_loss=loss)
    assert model.packed.eq(1).all()


def test_all_four_evaluations_of_a_variance_reduced_step_start_from_the_same_state():
    model = nn.Sequential(nn.Linear(4, 32), nn.Dropout(0.5), nn.Linear(32, 1)).double().train()
    masks = []
    model[1].register_forward_hook(lambda _m, _i, out: masks.append(out == 0))
    opt = MeZOSVRG(model, lr=1e-3)
    with torch.random.fork_rng([]):
        opt.step(full_loss=lambda: model(X).mean())
        opt.step(zo_loss=lambda: model(X).mean())
    assert len(masks) == 6
    assert all(torch.equal(mask, masks[2]) for mask in masks[3:])
    assert not torch.equal(masks[0], masks[2])
