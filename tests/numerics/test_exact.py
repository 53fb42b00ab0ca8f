"""Losses are evaluated, steps of learning rate 0 taken and runs interrupted without one bit of theta moving.

On the three families, tied embeddings included, with negative zeros and subnormals among the weights.
"""

import os
import signal
import time

import pytest
import torch

from addax import spsa
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
# MeZO-SVRG: a full-batch step, a minibatch step, and one more of each.
STEPS = 4


def build(family, dtype, checkpointed=False):
    """A tiny model of a family, with a negative zero and both smallest subnormals in every parameter."""
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
    """A method with weight on both parts."""
    made = module("method", name)
    cls = next(c for c in vars(made).values() if isinstance(c, type) and c.__module__ == made.__name__)
    return cls(model, lr, **options | ({"alpha": 0.5} if name == "addax" else {}))


def closures(opt, family, model):
    """All that a method takes."""
    return {name: family.closure(model, k) for k, name in enumerate(opt.closures)}


@pytest.mark.medium
@FAMILIES
@TYPES
@CHECKPOINTED
def test_a_learning_rate_of_zero_moves_no_bit(family, dtype, checkpointed):
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
            assert bits(model) != before, f"{name} moves nothing at any rate"


@TYPES
def test_a_group_at_zero_among_others_moves_no_bit(dtype):
    """Each group has a rate of its own; a schedule may bring one to 0."""
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
    """As torch's does: a warm-up that starts at 0 fills the moments meanwhile."""
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
def test_perturbed_evaluations_move_no_bit(family, dtype, checkpointed):
    for name in ZEROTH_ORDER:
        model = build(family, dtype, checkpointed)
        opt = method(name, model, 1e-2)
        seen = []

        def run(opt=opt, model=model, seen=seen):
            for k in range(3):
                seen.append(opt.estimate(family.closure(model, k), k).projected_grad.item())

        check_unmoved(model, run)
        assert all(seen)
        assert len(set(seen)) == 3


def send_interrupt():
    """A real SIGINT to this process, and time for it to arrive."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
    pytest.fail("SIGINT did not arrive")


def send_error():
    """What a closure may raise."""
    raise RuntimeError("broken")


@pytest.fixture
def interruptible():
    """Python's own handler: a shell starts background jobs with SIGINT ignored."""
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
def test_a_stopped_estimate_moves_no_bit(family, dtype, stop, monkeypatch):
    """Wherever each evaluation is stopped, the step taken in the end is the one that was never stopped."""
    # MeZO-SVRG's second step evaluates at the anchor too.
    for name, done, evaluations in (("addax", 0, 2), ("mezo-svrg", 1, 4)):
        models = [build(family, dtype) for _ in range(2)]
        opts = [method(name, m, 1e-3) for m in models]
        for opt, model in zip(opts, models, strict=True):
            for _ in range(done):
                opt.step(**closures(opt, family, model))
        for where in WHERE:
            for at in range(1, evaluations + 1, 2 if where == "between the evaluations" else 1):
                with monkeypatch.context() as patch:
                    stopped(opts[0], family, models[0], at, where, *STOPS[stop], patch)
        assert opts[0].steps == done
        for opt, model in zip(opts, models, strict=True):
            opt.step(**closures(opt, family, model))
        assert bits(models[0]) == bits(models[1]), name


def stopped(opt, family, model, at, where, send, error, patch):
    """A step whose evaluation number `at` is stopped; theta must not move."""
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
        # The embedding is perturbed at that moment.
        inner = model.get_input_embeddings()
        forward = inner.forward
        patch.setattr(inner, "forward", lambda ids: send() if len(calls) == at else forward(ids))
    elif where == "between the evaluations":
        put_back = spsa.set_generator_states
        patch.setattr(
            spsa, "set_generator_states", lambda states: send() if len(calls) == at else put_back(states)
        )

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
def test_a_first_order_loss_that_is_stopped_moves_no_bit(family, dtype, checkpointed, stop):
    """After Addax's estimate as well; the next step is the one never stopped."""
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
