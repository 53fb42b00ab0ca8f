"""Tests of each method in float64 against a dense computation of its formula."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from tests.numerics.oracle import GPT2, LLAMA, LORA, MLP, OPT, PREFIX, TIED, Dense, distance

TOL = 1e-12
EPS = 1e-3
PROBLEMS = pytest.mark.parametrize("problem", [MLP, TIED, OPT, GPT2, LORA, PREFIX], ids=lambda p: p.name)
F64 = torch.float64


def run(opt, dense, problem, model, step, steps=5):
    """Step the method and the oracle together, and check that they differ only by rounding."""
    start = {n: v.clone() for n, v in dense.theta.items()}
    for k in range(steps):
        step(k)
        assert distance(model, dense) < TOL, f"step {k}"
    moved = max((dense.theta[n] - start[n]).abs().max().item() for n in start)
    assert moved > 1e-6, "no parameter moved, so the comparison is meaningless"


@PROBLEMS
def test_mezo_follows_the_oracle(problem):
    model = problem.build(F64)
    dense, opt = Dense(model, problem), MeZO(model, lr=1e-3, eps=EPS, seed=3)

    def step(k):
        z = dense.z(opt.step_seed())
        stats = opt.step(zo_loss=problem.closure(model, k))
        g0 = dense.g0(k, EPS, z)
        assert math.isclose(stats.projected_grad.item(), g0, rel_tol=1e-9, abs_tol=1e-10)
        dense.move(1e-3, {n: g0 * z[n] for n in z})

    run(opt, dense, problem, model, step)


@PROBLEMS
@pytest.mark.parametrize("method", [IPSGD, SGD])
def test_ip_sgd_and_sgd_follow_the_oracle(problem, method):
    model = problem.build(F64)
    dense, opt = Dense(model, problem), method(model, lr=0.1)

    def step(k):
        loss = dense.loss(k)
        stats = opt.step(fo_loss=problem.closure(model, k))
        # Losses are reported in float32 unless they are float64.
        assert stats.loss.item() == pytest.approx(loss, rel=1e-12)
        assert (stats.forwards, stats.backwards, stats.projected_grad) == (1, 1, None)
        dense.move(0.1, dense.grad(k))

    run(opt, dense, problem, model, step)


@PROBLEMS
def test_addax_follows_the_oracle(problem):
    model = problem.build(F64)
    alpha, lr = 0.3, 0.02
    dense, opt = Dense(model, problem), Addax(model, lr=lr, alpha=alpha, eps=EPS, seed=1)

    def step(k):
        z = dense.z(opt.step_seed())
        opt.step(zo_loss=problem.closure(model, k), fo_loss=problem.closure(model, k + 50))
        g0, g1 = dense.g0(k, EPS, z), dense.grad(k + 50)
        dense.move(lr, {n: alpha * g0 * z[n] + (1 - alpha) * g1[n] for n in z})

    run(opt, dense, problem, model, step)


def test_addax_on_llama_follows_the_oracle():
    """Llama's norms compute in float32, so the oracle copies theta from the model before each step."""
    model = LLAMA.build(F64)
    dense, opt = Dense(model, LLAMA), Addax(model, lr=0.01, alpha=0.5, eps=EPS)

    def step(k):
        dense.read(model)
        z = dense.z(opt.step_seed())
        opt.step(zo_loss=LLAMA.closure(model, k), fo_loss=LLAMA.closure(model, k + 50))
        g0, g1 = dense.g0(k, EPS, z), dense.grad(k + 50)
        dense.move(0.01, {n: 0.5 * g0 * z[n] + 0.5 * g1[n] for n in z})

    run(opt, dense, LLAMA, model, step, steps=3)


@PROBLEMS
def test_mezo_svrg_follows_the_oracle(problem):
    model = problem.build(F64)
    eta1, ratio, q = 1e-3, 0.5, 3
    opt = MeZOSVRG(model, lr=eta1, lr_ratio=ratio, anchor_every=q, eps=EPS)
    dense = Dense(model, problem)
    full = 99
    anchor = {}

    def step(k):
        z = dense.z(opt.step_seed())
        opt.step(zo_loss=problem.closure(model, k), full_loss=problem.closure(model, full))
        if k % q == 0:
            anchor.update(anchor=dict(dense.theta), g=dense.g0(full, EPS, z), z=z)
            dense.move(eta1, {n: anchor["g"] * z[n] for n in z})
        else:
            reduced = dense.g0(k, EPS, z) - dense.g0(k, EPS, z, anchor["anchor"])
            dense.move(eta1 * ratio, {n: reduced * z[n] + anchor["g"] * anchor["z"][n] for n in z})

    run(opt, dense, problem, model, step, steps=7)


@PROBLEMS
def test_adam_follows_the_oracle(problem):
    model = problem.build(F64)
    dense, opt = Dense(model, problem), Adam(model, lr=0.01)
    m = {n: torch.zeros_like(v) for n, v in dense.theta.items()}
    v = {n: torch.zeros_like(w) for n, w in dense.theta.items()}

    def step(k):
        # The gradients of the biases of OPT's keys are zero except for rounding. Adam divides them by about
        # 1e-8, which amplifies the rounding, so the oracle copies theta from the model before each step.
        dense.read(model)
        g, t = dense.grad(k), k + 1
        opt.step(fo_loss=problem.closure(model, k))
        update = {}
        for n in g:
            m[n] = 0.9 * m[n] + 0.1 * g[n]
            v[n] = 0.999 * v[n] + 0.001 * g[n] ** 2
            update[n] = (m[n] / (1 - 0.9**t)) / ((v[n] / (1 - 0.999**t)).sqrt() + 1e-8)
        dense.move(0.01, update)

    run(opt, dense, problem, model, step)


def test_adam_equals_torch_adam():
    ours, theirs = MLP.build(torch.float32), MLP.build(torch.float32)
    opt, reference = Adam(ours, lr=0.01), torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    for k in range(5):
        opt.step(fo_loss=MLP.closure(ours, k))
        reference.zero_grad()
        MLP.loss(theirs, k).backward()
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


SCHEDULES = {
    "lambda": (lambda o: lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + k)), lambda k, base: base / (1 + k)),
    "step": (lambda o: lr_scheduler.StepLR(o, 2, 0.5), lambda k, base: base * 0.5 ** (k // 2)),
    "cosine": (
        lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
        lambda k, base: base * (1 + math.cos(math.pi * k / 8)) / 2,
    ),
    "linear": (
        lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=4),
        lambda k, base: base * (1 - 0.8 * min(k, 4) / 4),
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_groups_and_schedulers_follow_the_oracle(schedule):
    """Two groups have different learning rates; the expected schedule is a formula in this file."""
    make, rate = SCHEDULES[schedule]
    model = MLP.build(F64)
    dense = Dense(model, MLP)
    base = {n: 0.02 if n.startswith("0.") else 0.005 for n in dense.theta}
    groups = [
        {"params": [p for n, p in model.named_parameters() if n.startswith("0.")], "lr": 0.02},
        {"params": [p for n, p in model.named_parameters() if not n.startswith("0.")]},
    ]
    opt = Addax(model, lr=0.005, alpha=0.5, params=groups)
    scheduler = make(opt)

    def step(k):
        z = dense.z(opt.step_seed())
        opt.step(zo_loss=MLP.closure(model, k), fo_loss=MLP.closure(model, k + 50))
        scheduler.step()
        g0, g1 = dense.g0(k, EPS, z), dense.grad(k + 50)
        rates = {n: rate(k, base[n]) for n in base}
        dense.move(rates, {n: 0.5 * g0 * z[n] + 0.5 * g1[n] for n in z})

    run(opt, dense, MLP, model, step)


@pytest.mark.parametrize("method", ["mezo", "addax", "ip-sgd", "mezo-svrg"])
def test_one_cycle_scales_every_method(method):
    """A scheduler only scales the step: step / learning rate is the same with and without a scheduler."""
    make = {
        "mezo": lambda m: MeZO(m, lr=1e-3),
        "addax": lambda m: Addax(m, lr=1e-3, alpha=0.5),
        "ip-sgd": lambda m: IPSGD(m, lr=1e-3),
        "mezo-svrg": lambda m: MeZOSVRG(m, lr=1e-3, anchor_every=1),
    }[method]
    moved = []
    for scheduled in (True, False):
        model = MLP.build(F64)
        opt = make(model)
        if scheduled:
            lr_scheduler.OneCycleLR(opt, max_lr=0.01, total_steps=10, cycle_momentum=False)
        rate = opt.param_groups[0]["lr"]
        closures = {name: MLP.closure(model, 0) for name in opt.closures}
        before = [p.detach().clone() for p in model.parameters()]
        opt.step(**closures)
        moved.append([(p.detach() - b) / rate for p, b in zip(model.parameters(), before, strict=True)])
    # OneCycleLR starts at max_lr / 25, so the two learning rates differ.
    for scheduled, constant in zip(*moved, strict=True):
        torch.testing.assert_close(scheduled, constant, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["mezo", "addax", "adam", "ip-sgd"])
def test_frozen_parameters_do_not_move(method):
    """Frozen parameters neither move nor change another parameter's direction."""
    model = MLP.build(F64)
    frozen = model[0].weight
    frozen.requires_grad_(False)
    before = frozen.detach().clone()
    dense = Dense(model, MLP)
    assert dense.index["3.weight"] == 4
    opt = {
        "mezo": lambda: MeZO(model, lr=1e-3),
        "addax": lambda: Addax(model, lr=1e-3, alpha=1.0),
        "adam": lambda: Adam(model, lr=1e-3),
        "ip-sgd": lambda: IPSGD(model, lr=1e-3),
    }[method]()
    z = dense.z(opt.step_seed())
    name = "zo_loss" if "zo_loss" in opt.closures else "fo_loss"
    opt.step(**{name: MLP.closure(model, 0)})
    assert torch.equal(frozen, before)
    assert frozen.grad is None
    if name == "zo_loss":
        g0 = dense.g0(0, EPS, z)
        dense.move(1e-3, {n: g0 * z[n] for n in z})
        assert distance(model, dense) < TOL
