"""Tests that methods that are special cases of each other agree bit for bit in every dtype."""

import pytest
import torch

from addax import Addax
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.sgd import SGD
from tests.numerics.oracle import DTYPES, MLP, OPT, TIED, bits, opt_model

ALL = pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
PROBLEMS = pytest.mark.parametrize("problem", [MLP, TIED, OPT], ids=lambda p: p.name)


def trajectory(problem, dtype, make, name, steps=4, train=lambda model: model):
    """Take steps, and return the model's bits and the statistics after each of them."""
    model = train(problem.build(dtype))
    opt = make(model)
    start = bits(model)
    states, stats = [], []
    for k in range(steps):
        stats.append(opt.step(**{name: problem.closure(model, k)}))
        states.append(bits(model))
    assert states[-1] != start, "no parameter moved, so the comparison is meaningless"
    return states, stats


def same_values(a, b):
    """Return whether two trajectories reported bit-identical losses and projected gradients."""
    pairs = [(x.loss, y.loss) for x, y in zip(a, b, strict=True)]
    pairs += [(x.projected_grad, y.projected_grad) for x, y in zip(a, b, strict=True) if x.projected_grad]
    return all(torch.equal(x, y) for x, y in pairs)


@ALL
@PROBLEMS
def test_addax_with_alpha_0_is_ip_sgd(problem, dtype):
    ours, our_stats = trajectory(problem, dtype, lambda m: Addax(m, lr=0.05, alpha=0, seed=5), "fo_loss")
    theirs, their_stats = trajectory(problem, dtype, lambda m: IPSGD(m, lr=0.05, seed=5), "fo_loss")
    assert ours == theirs
    assert same_values(our_stats, their_stats)


@ALL
@PROBLEMS
def test_addax_with_alpha_1_is_mezo(problem, dtype):
    ours, our_stats = trajectory(problem, dtype, lambda m: Addax(m, lr=1e-3, alpha=1, seed=5), "zo_loss")
    theirs, their_stats = trajectory(problem, dtype, lambda m: MeZO(m, lr=1e-3, seed=5), "zo_loss")
    assert ours == theirs
    assert same_values(our_stats, their_stats)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_released_addax_with_alpha_1_is_released_mezo(dtype):
    options = {"lr": 1e-3, "seed": 5, "arithmetic": "released"}
    ours, _ = trajectory(MLP, dtype, lambda m: Addax(m, alpha=1, **options), "zo_loss")
    theirs, _ = trajectory(MLP, dtype, lambda m: MeZO(m, **options), "zo_loss")
    assert ours == theirs


def test_released_arithmetic_is_exact_in_float64():
    """The two arithmetics differ only by rounding, which is negligible in float64."""
    models = []
    for arithmetic in ("exact", "released"):
        model = TIED.build(torch.float64)
        opt = Addax(model, lr=0.01, alpha=0.4, arithmetic=arithmetic)
        for k in range(4):
            opt.step(zo_loss=TIED.closure(model, k), fo_loss=TIED.closure(model, k + 50))
        models.append(model)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@ALL
@PROBLEMS
def test_ip_sgd_equals_sgd(problem, dtype):
    ours, our_stats = trajectory(problem, dtype, lambda m: IPSGD(m, lr=0.05, seed=5), "fo_loss")
    theirs, their_stats = trajectory(problem, dtype, lambda m: SGD(m, lr=0.05, seed=5), "fo_loss")
    assert ours == theirs
    assert same_values(our_stats, their_stats)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sgd_equals_torch_sgd(dtype):
    ours, theirs = TIED.build(dtype), TIED.build(dtype)
    opt, reference = SGD(ours, lr=0.05), torch.optim.SGD(theirs.parameters(), lr=0.05)
    for k in range(4):
        opt.step(fo_loss=TIED.closure(ours, k))
        reference.zero_grad()
        TIED.loss(theirs, k).backward()
        reference.step()
    # We multiply, then subtract; torch uses a fused multiply-add. The last bit may differ.
    eps = torch.finfo(dtype).eps
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=4 * eps, atol=4 * eps)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", ["addax", "ip-sgd", "mezo"])
def test_gradient_checkpointing_changes_nothing(method, dtype, reentrant):
    """In-place updates during a checkpointed backward pass are correct with tied embeddings and dropout."""

    def checkpointed(model):
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
        return model

    make = {
        "addax": lambda m: Addax(m, lr=0.02, alpha=0.2),
        "ip-sgd": lambda m: IPSGD(m, lr=0.05),
        "mezo": lambda m: MeZO(m, lr=1e-3),
    }[method]
    results = []
    for prepare in (lambda model: model, checkpointed):
        model = prepare(opt_model(dtype, dropout=0.1))
        opt = make(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for k in range(3):
                opt.step(**{name: OPT.closure(model, k) for name in opt.closures})
        results.append(bits(model))
    assert results[0] == results[1]
