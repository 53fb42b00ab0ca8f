"""Tests of MeZO-SVRG: a separate anchor, one z for both minibatch estimates, and few full losses."""

import pytest
import torch
from torch import nn

from baselines.mezo_svrg import MeZOSVRG
from tests.numerics.oracle import DTYPES, MLP, TIED, Dense, bits, generator

EPS = 1e-3


def run(opt, problem, model, steps, full=99):
    """Take steps and return the closures that each step called."""
    calls = []
    for k in range(steps):
        called = []

        def zo(k=k, called=called):
            called.append("zo")
            return problem.loss(model, k)

        def whole(called=called):
            called.append("full")
            return problem.loss(model, full)

        opt.step(zo_loss=zo, full_loss=whole)
        calls.append(called)
    return calls


@pytest.mark.parametrize("q", [1, 2, 5])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_full_loss_is_called_every_q_steps_only(variant, q):
    model = MLP.build(torch.float32)
    opt = MeZOSVRG(model, lr=1e-3, anchor_every=q, variant=variant)
    calls = run(opt, MLP, model, 7)
    assert calls == [["full"] * 2 if k % q == 0 else ["zo"] * 4 for k in range(7)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_anchor_shares_no_storage_with_theta(dtype):
    """The anchor is theta before the update of the last full-batch step."""
    model = TIED.build(dtype)
    opt = MeZOSVRG(model, lr=0.05, lr_ratio=1.0, anchor_every=3)
    for k in range(6):
        before = [p.detach().clone() for p in model.parameters()]
        run_one(opt, TIED, model, k)
        if k % 3 == 0:
            anchor = before
        assert all(torch.equal(a, b) for a, b in zip(opt.anchor, anchor, strict=True))
        memory = {p.untyped_storage().data_ptr() for p in model.parameters()}
        assert not memory & {a.untyped_storage().data_ptr() for a in opt.anchor}
    assert not all(torch.equal(a, p) for a, p in zip(opt.anchor, model.parameters(), strict=True))


def run_one(opt, problem, model, k):
    """Take one step with both closures."""
    return opt.step(zo_loss=problem.closure(model, k), full_loss=problem.closure(model, 99))


class Probe(nn.Module):
    """A model whose loss is the sum of theta. It records the points of its evaluations, which reveal z."""

    def __init__(self, d: int = 6) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(d, generator=generator(1), dtype=torch.float64))
        self.seen: list[torch.Tensor] = []

    def forward(self) -> torch.Tensor:
        """Return the sum of theta, and record theta."""
        self.seen.append(self.theta.detach().clone())
        return self.theta.sum()


def directions(seen: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the points and directions of a minibatch step, computed from its four evaluations."""
    here, there = (seen[0] + seen[1]) / 2, (seen[2] + seen[3]) / 2
    return here, (seen[0] - seen[1]) / (2 * EPS), there, (seen[2] - seen[3]) / (2 * EPS)


def test_variant_paper_uses_one_direction_at_theta_and_at_the_anchor():
    model = Probe()
    start = model.theta.detach().clone()
    opt = MeZOSVRG(model, lr=0.1, anchor_every=2, eps=EPS)
    opt.step(full_loss=model)
    moved = model.theta.detach().clone()
    model.seen.clear()
    opt.step(zo_loss=model)
    here, z_here, there, z_there = directions(model.seen)
    torch.testing.assert_close(z_here, z_there, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here, moved, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(there, start, rtol=1e-12, atol=1e-12)
    assert (moved - start).abs().max() > 1e-3


def test_variant_released_uses_two_directions_at_theta_only():
    model = Probe()
    opt = MeZOSVRG(model, lr=0.1, anchor_every=2, eps=EPS, variant="released")
    opt.step(full_loss=model)
    moved = model.theta.detach().clone()
    model.seen.clear()
    opt.step(zo_loss=model)
    here, z_here, there, z_there = directions(model.seen)
    assert abs(torch.corrcoef(torch.stack([z_here, z_there]))[0, 1]) < 0.99
    torch.testing.assert_close(here, moved, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(there, moved, rtol=1e-12, atol=1e-12)
    assert opt.anchor is None


@pytest.mark.parametrize("problem", [MLP, TIED], ids=lambda p: p.name)
def test_variant_released_follows_the_published_code_for_ten_steps(problem):
    """The published code has no anchor (it aliases live parameters) and uses two directions.

    theta <- theta - eta2 ( g_I(theta; z1) z1 - g_I(theta; z2) z2 + g_full z_full ).
    """
    eta1, eta2, q = 2e-3, 1e-3, 3
    model = problem.build(torch.float64)
    opt = MeZOSVRG(model, lr=eta1, lr_ratio=eta2 / eta1, anchor_every=q, eps=EPS, variant="released")
    dense = Dense(model, problem)
    theta, stored = dense.theta, None
    for k in range(10):
        z1, z2 = dense.z(opt.step_seed()), dense.z(opt.step_seed(1))
        stats = run_one(opt, problem, model, k)
        if k % q == 0:
            s = dense.g0(99, EPS, z1, theta)
            stored = {n: s * z1[n] for n in z1}
            theta = {n: theta[n] - eta1 * stored[n] for n in theta}
        else:
            s1, s2 = dense.g0(k, EPS, z1, theta), dense.g0(k, EPS, z2, theta)
            theta = {n: theta[n] - eta2 * (s1 * z1[n] - s2 * z2[n] + stored[n]) for n in theta}
        for n, p in model.named_parameters():
            torch.testing.assert_close(p.detach(), theta[n], rtol=0, atol=1e-12)
        assert stats.forwards == (2 if k % q == 0 else 4)


def test_the_variants_take_different_steps():
    ends = []
    for variant in ("paper", "released"):
        model = MLP.build(torch.float64)
        run(MeZOSVRG(model, lr=1e-3, variant=variant), MLP, model, 2)
        ends.append(bits(model))
    assert ends[0] != ends[1]


def test_variance_is_reduced_near_the_anchor():
    """Right after an anchor step, the two minibatch estimates nearly cancel."""
    model = MLP.build(torch.float64)
    opt = MeZOSVRG(model, lr=1e-6, anchor_every=2)
    run_one(opt, MLP, model, 0)
    reduced = abs(run_one(opt, MLP, model, 1).projected_grad.item())
    plain = abs(
        opt.perturbed_forward.estimate(MLP.closure(model, 1), EPS, opt.step_seed()).projected_grad.item()
    )
    assert reduced < 1e-2 * plain


def spoiled(problem, model, bad):
    """Return a `full_loss` closure that returns a non-finite value."""
    return lambda: problem.loss(model, 99) * bad


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_full_loss_replaces_neither_anchor_nor_estimate(bad):
    """The old anchor and estimate remain, and later minibatch steps do not depend on the skipped step."""
    models = [MLP.build(torch.float64) for _ in range(2)]
    opts = [MeZOSVRG(m, lr=0.05, lr_ratio=1.0, anchor_every=3) for m in models]
    for k in range(3):
        for opt, model in zip(opts, models, strict=True):
            run_one(opt, MLP, model, k)
    anchor, full = [a.clone() for a in opts[0].anchor], opts[0].full
    before = bits(models[0])
    stats = opts[0].step(full_loss=spoiled(MLP, models[0], bad))
    assert bool(stats.skipped)
    assert bits(models[0]) == before
    assert opts[0].full is full
    assert all(torch.equal(a, b) for a, b in zip(opts[0].anchor, anchor, strict=True))
    # The other optimizer did not take this step, so only its counter advances.
    opts[1].steps += 1
    for k in (4, 5):
        for opt, model in zip(opts, models, strict=True):
            assert not bool(run_one(opt, MLP, model, k).skipped)
    assert bits(models[0]) == bits(models[1]) != before
    assert (int(opts[0].skipped_steps), int(opts[0].consecutive_skips)) == (1, 0)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_without_an_anchor_the_next_step_needs_the_full_loss(variant):
    model = MLP.build(torch.float32)
    opt = MeZOSVRG(model, lr=1e-3, anchor_every=4, variant=variant)
    for k in range(2):
        assert opt.at_anchor
        opt.step(full_loss=spoiled(MLP, model, float("nan")), zo_loss=MLP.closure(model, k))
    assert opt.at_anchor
    assert opt.full is opt.anchor is None
    assert (int(opt.skipped_steps), opt.steps) == (2, 2)
    calls = run(opt, MLP, model, 4)
    assert calls == [["full"] * 2, ["zo"] * 4, ["full"] * 2, ["zo"] * 4]


def test_mezo_svrg_with_an_anchor_at_every_step_has_one_kind_of_step():
    assert MeZOSVRG(nn.Linear(2, 1), lr=0.1, anchor_every=1).step_kinds == 1
    assert MeZOSVRG(nn.Linear(2, 1), lr=0.1, anchor_every=7).step_kinds == 2
