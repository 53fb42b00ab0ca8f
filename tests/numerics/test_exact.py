"""Tests that evaluations, steps at learning rate 0, and interrupts leave every bit of theta unchanged.

They use four model families with tied embeddings. The weights include negative zeros and subnormals.
"""

import os
import signal
import time

import pytest
import torch

from addax.forward_state import ForwardState
from benchmarks.registry import files, module
from tests.numerics.oracle import DTYPES, GPT2, LLAMA, OPT, ROBERTA, bits, check_unmoved

pytestmark = [
    pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),
]
FAMILIES = pytest.mark.parametrize("family", [OPT, GPT2, LLAMA, ROBERTA], ids=lambda p: p.name)
TYPES = pytest.mark.parametrize("dtype", DTYPES, ids=str)
CHECKPOINTED = pytest.mark.parametrize("checkpointed", [False, True], ids=["plain", "checkpointed"])
ZEROTH_ORDER = ("addax", "mezo", "mezo-svrg")
FIRST_ORDER = ("addax", "ip-sgd", "sgd", "adam")
# MeZO-SVRG takes four steps: full-batch, minibatch, full-batch, minibatch.
STEPS = 4


def build(family, dtype, checkpointed=False):
    """Build a tiny model with a negative zero and both smallest subnormals in every parameter."""
    model = family.build(dtype)
    embeddings = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert embeddings[0] is embeddings[1]
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    for p in model.parameters():
        p.data.view(-1)[:3] = torch.tensor([-0.0, smallest, -smallest], dtype=torch.float64).to(dtype)
        assert p.data.view(-1)[0].signbit()
        assert p.data.view(-1)[1] > 0
    if checkpointed:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
    return model


def method(name, model, lr, **options):
    """Build a method; Addax gets weight on both parts of its update."""
    source = module("method", name)
    cls = next(c for c in vars(source).values() if isinstance(c, type) and c.__module__ == source.__name__)
    return cls(model, lr, **options | ({"alpha": 0.5} if name == "addax" else {}))


def closures(opt, family, model):
    """Return all closures that a method takes, each on a different batch."""
    return {name: family.closure(model, k) for k, name in enumerate(opt.closures)}


@pytest.mark.medium
@FAMILIES
@TYPES
@CHECKPOINTED
def test_a_learning_rate_of_zero_changes_no_bit(family, dtype, checkpointed):
    for name in files("method"):
        model = build(family, dtype, checkpointed)
        opt = method(name, model, 0.0)

        def run(opt=opt, model=model):
            for _ in range(STEPS):
                stats = opt.step(**closures(opt, family, model))
            assert not stats.skipped

        check_unmoved(model, run)
        assert opt.steps == STEPS
        before = bits(model)
        method(name, model, 1e-2).step(**closures(opt, family, model))
        if dtype != torch.float16:
            assert bits(model) != before, (
                f"{name} does not change the model at a positive learning rate either"
            )


@TYPES
def test_a_parameter_group_at_learning_rate_zero_changes_no_bit(dtype):
    """Parameter groups have separate learning rates, and a schedule may set one of them to 0."""
    for name in files("method"):
        model = build(OPT, dtype)
        still = [p for p in model.parameters() if p.dim() == 1]
        moving = [p for p in model.parameters() if p.dim() > 1]
        opt = method(name, model, 1e-2, params=[{"params": still, "lr": 0.0}, {"params": moving}])
        before = bits(model)
        for _ in range(STEPS):
            opt.step(**closures(opt, OPT, model))
        moved = {i for i, (a, b) in enumerate(zip(bits(model), before, strict=True)) if a != b}
        assert not moved & {i for i, p in enumerate(model.parameters()) if p.dim() == 1}, name
        assert moved, name


def test_adam_counts_steps_at_a_learning_rate_of_zero():
    """torch's Adam does the same: a warm-up that starts at 0 already updates the moments."""
    models = [build(OPT, torch.float32) for _ in range(2)]
    opt = method("adam", models[0], 0.0)
    theirs = torch.optim.Adam(models[1].parameters(), lr=0.0, fused=True)
    for k in range(3):
        for group in (*opt.param_groups, *theirs.param_groups):
            group["lr"] = 0.01 * (k == 2)
        opt.step(fo_loss=OPT.closure(models[0], k))
        theirs.zero_grad()
        OPT.loss(models[1], k).backward()
        theirs.step()
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.medium
@FAMILIES
@TYPES
@CHECKPOINTED
def test_perturbed_evaluations_change_no_bit(family, dtype, checkpointed):
    for name in ZEROTH_ORDER:
        model = build(family, dtype, checkpointed)
        opt = method(name, model, 1e-2)
        estimates = []

        def run(opt=opt, model=model, estimates=estimates):
            for k in range(3):
                estimates.append(opt.estimate(family.closure(model, k), k).projected_grad.item())

        check_unmoved(model, run)
        assert all(estimates)
        assert len(set(estimates)) == 3


def send_interrupt():
    """Send a real SIGINT to this process, and wait for it to arrive."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
    pytest.fail("SIGINT did not arrive")


def send_error():
    """Raise an error, as a user's closure might."""
    raise RuntimeError("broken")


@pytest.fixture
def interruptible():
    """Install Python's default handler, because a shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


STOPS = {"error": (send_error, RuntimeError), "SIGINT": (send_interrupt, KeyboardInterrupt)}
WHERE = ["in the closure", "inside a module", "between the evaluations"]


@pytest.mark.medium
@FAMILIES
@TYPES
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.usefixtures("interruptible")
def test_a_stopped_estimate_changes_no_bit(family, dtype, stop, monkeypatch):
    """After a stop at any point of any evaluation, the next step equals that of an undisturbed method."""
    # MeZO-SVRG's second step also evaluates at the anchor.
    for name, steps_before, evaluations in (("addax", 0, 2), ("mezo-svrg", 1, 4)):
        models = [build(family, dtype) for _ in range(2)]
        opts = [method(name, m, 1e-3) for m in models]
        for opt, model in zip(opts, models, strict=True):
            for _ in range(steps_before):
                opt.step(**closures(opt, family, model))
        for where in WHERE:
            for at in range(1, evaluations + 1, 2 if where == "between the evaluations" else 1):
                with monkeypatch.context() as patch:
                    stopped(opts[0], family, models[0], at, where, *STOPS[stop], patch)
        assert opts[0].steps == steps_before
        for opt, model in zip(opts, models, strict=True):
            opt.step(**closures(opt, family, model))
        assert bits(models[0]) == bits(models[1]), name


def stopped(opt, family, model, at, where, send, error, patch):
    """Take a step whose evaluation number `at` is stopped, and check that theta does not change."""
    calls = []

    def counted(closure):
        def loss():
            calls.append(None)
            value = closure()
            if where == "in the closure" and len(calls) == at:
                send()
            return value

        return loss

    if where == "inside a module":
        # The embedding's weights are perturbed during its forward pass.
        inner = model.get_input_embeddings()
        forward = inner.forward
        patch.setattr(inner, "forward", lambda ids: send() if len(calls) == at else forward(ids))
    elif where == "between the evaluations":
        restore = ForwardState.restore
        patch.setattr(ForwardState, "restore", lambda state: send() if len(calls) == at else restore(state))

    def run():
        with pytest.raises(error):
            opt.step(**{name: counted(closure) for name, closure in closures(opt, family, model).items()})

    check_unmoved(model, run)
    assert len(calls) == at


@pytest.mark.medium
@FAMILIES
@TYPES
@CHECKPOINTED
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.usefixtures("interruptible")
def test_a_stopped_first_order_loss_changes_no_bit(family, dtype, checkpointed, stop):
    """For Addax, the stop comes after the estimate. The next step equals that of an undisturbed method."""
    send, error = STOPS[stop]
    for name in FIRST_ORDER:
        models = [build(family, dtype, checkpointed) for _ in range(2)]
        opts = [method(name, m, 1e-3) for m in models]

        def run(opt=opts[0], model=models[0]):
            with pytest.raises(error):
                opt.step(**closures(opt, family, model) | {"fo_loss": lambda: family.loss(model, 0) * send()})

        check_unmoved(models[0], run)
        assert opts[0].steps == 0
        for opt, model in zip(opts, models, strict=True):
            opt.step(**closures(opt, family, model))
        assert bits(models[0]) == bits(models[1]), name
