"""Tests of the calls of `step` that other code makes: one closure, closures that call backward, wrappers."""

from functools import partial

import pytest
import torch
from torch import nn

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from tests.numerics.oracle import MLP, bits

ONE_LOSS = {
    "MeZO": (MeZO, "zo_loss"),
    "IP-SGD": (IPSGD, "fo_loss"),
    "SGD": (SGD, "fo_loss"),
    "Adam": (Adam, "fo_loss"),
    "Addax, alpha 0": (partial(Addax, alpha=0), "fo_loss"),
    "Addax, alpha 1": (partial(Addax, alpha=1), "zo_loss"),
    "MeZO-SVRG, q = 1": (partial(MeZOSVRG, anchor_every=1), "full_loss"),
}
TWO_LOSSES = {"Addax": Addax, "MeZO-SVRG": MeZOSVRG}
FIRST_ORDER = pytest.mark.parametrize("method", [Addax, IPSGD, SGD, Adam])
ALL = pytest.mark.parametrize("method", [Addax, MeZO, MeZOSVRG, IPSGD, SGD, Adam])


def accelerated(opt, closure):
    """Step through accelerate's wrapper, which passes one closure by position."""
    from accelerate import Accelerator

    Accelerator(cpu=True).prepare(opt).step(closure)


CALLS = {
    "positional": lambda opt, closure: opt.step(closure),
    "keyword": lambda opt, closure: opt.step(closure=closure),
    "accelerate": accelerated,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ONE_LOSS)
def test_a_method_with_one_loss_takes_it_by_position(name, call):
    build, loss = ONE_LOSS[name]
    models = [MLP.build(torch.float64) for _ in range(2)]
    before = bits(models[0])
    CALLS[call](build(models[0], lr=0.1), MLP.closure(models[0], 0))
    build(models[1], lr=0.1).step(**{loss: MLP.closure(models[1], 0)})
    assert bits(models[0]) == bits(models[1]) != before


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", TWO_LOSSES)
def test_a_method_with_two_losses_names_the_call(name, call):
    model = MLP.build(torch.float32)
    opt = TWO_LOSSES[name](model, lr=0.1)
    losses = ", ".join(f"{loss}=..." for loss in opt.closures)
    called = []
    with pytest.raises(ValueError, match=rf"call opt\.step\({losses}\).*opt\.optimizer\.step") as error:
        CALLS[call](opt, lambda: called.append(None))
    assert "\n" not in str(error.value)
    assert not called


@ALL
def test_a_loss_instead_of_a_function_names_the_call(method):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    losses = dict.fromkeys(opt.closures, MLP.loss(model, 0))
    with pytest.raises(TypeError, match=r"_loss must be a function .* not Tensor: pass \w+_loss=lambda: "):
        opt.step(**losses)
    with pytest.raises(TypeError, match="closure must be a function"):
        opt.step(0.5)


@ALL
def test_an_unknown_loss_names_the_known_ones(method):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    with pytest.raises(ValueError, match=f"does not take loss: pass {' and '.join(opt.closures)}"):
        opt.step(loss=MLP.closure(model, 0))


class Backward:
    """A model and a closure that calls backward in the ways that other training code does."""

    def __init__(self, method):
        self.model = MLP.build(torch.float32)
        self.opt = method(self.model, lr=0.1)

    def torch_style(self):
        """Zero the gradients, call backward, return the loss."""
        self.opt.zero_grad()
        loss = MLP.loss(self.model, 0)
        loss.backward()
        return loss

    def detached(self):
        """Return the number only, as Lightning does."""
        return self.torch_style().detach()

    def cleared(self):
        """Zero the gradients after the backward pass, so that only the freed graph shows it."""
        loss = self.torch_style()
        self.opt.zero_grad()
        return loss

    def lightning(self):
        """Enable gradients, as Lightning does around its closure."""
        with torch.enable_grad():
            return self.torch_style().detach()


@pytest.mark.parametrize("closure", ["torch_style", "detached", "cleared", "lightning"])
@FIRST_ORDER
def test_a_first_order_closure_that_calls_backward_is_rejected_before_anything_moves(method, closure):
    case = Backward(method)
    before = bits(case.model)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"fo_loss calls backward itself: return the loss without calling"
        ):
            case.opt.step(fo_loss=getattr(case, closure))
        assert bits(case.model) == before
        assert case.opt.steps == 0
        assert all(p.grad is None for p in case.model.parameters())
    case.opt.step(fo_loss=MLP.closure(case.model, 0))
    assert bits(case.model) != before


@pytest.mark.parametrize("closure", ["torch_style", "detached", "cleared", "lightning"])
@pytest.mark.parametrize("method", [Addax, MeZO, MeZOSVRG])
def test_a_zeroth_order_closure_that_calls_backward_is_rejected(method, closure):
    case = Backward(method)
    before = bits(case.model)
    name = "full_loss" if method is MeZOSVRG else "zo_loss"
    with pytest.raises(ValueError, match=f"{name} calls backward itself: return the loss without calling"):
        case.opt.step(**{name: getattr(case, closure)})
    assert bits(case.model) == before
    assert all(p.grad is None for p in case.model.parameters())


@FIRST_ORDER
def test_a_closure_may_use_other_gradients(method):
    """It may call `autograd.grad`, or drop the gradients of a backward pass of another loss."""

    def adversarial(model):
        x = torch.ones(2, 5, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(model(x).square().sum(), x)
        inner = model(x.detach()).sum()
        inner.backward()
        model.zero_grad()
        return model(x.detach() + 0.1 * slope.sign()).square().mean()

    def plain(model):
        x = torch.ones(2, 5, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(model(x).square().sum(), x)
        return model(x.detach() + 0.1 * slope.sign()).square().mean()

    ends = []
    for loss in (adversarial, plain):
        model = MLP.build(torch.float64)
        method(model, lr=0.1).step(fo_loss=lambda model=model, loss=loss: loss(model))
        ends.append(bits(model))
    assert ends[0] == ends[1]


def test_a_gradient_penalty_is_part_of_the_loss():
    """The step follows the gradient of the penalized loss, computed densely in float64."""

    def penalized(model):
        loss = MLP.loss(model, 0)
        grads = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        return loss + 0.1 * sum(g.square().sum() for g in grads)

    model = MLP.build(torch.float64)
    grads = torch.autograd.grad(penalized(model), list(model.parameters()))
    expected = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), grads, strict=True)]
    SGD(model, lr=0.1).step(fo_loss=lambda: penalized(model))
    torch.testing.assert_close([p.detach() for p in model.parameters()], expected, rtol=1e-13, atol=1e-13)


class Lightning:
    """Lightning's path to `step` in manual optimization (LightningOptimizer and its precision plugin)."""

    def __init__(self, opt):
        self.opt = opt
        self.callbacks = 0

    def step(self, closure=None, **kwargs):
        """Pass a closure that runs callbacks, even if the user passed none, and the user's arguments."""
        return self.opt.step(closure=partial(self._wrap_closure, closure or (lambda: None)), **kwargs)

    def _wrap_closure(self, closure):
        result = closure()
        self.callbacks += 1
        return result


@ALL
def test_named_losses_pass_through_lightning_in_manual_optimization(method):
    models = [MLP.build(torch.float64) for _ in range(2)]
    opts = [method(model, lr=0.1) for model in models]
    trainer = Lightning(opts[0])
    for k in range(2):
        trainer.step(**{name: MLP.closure(models[0], k) for name in opts[0].closures})
        opts[1].step(**{name: MLP.closure(models[1], k) for name in opts[1].closures})
    assert bits(models[0]) == bits(models[1])
    assert trainer.callbacks == 2


@ALL
def test_lightning_in_automatic_optimization_is_told_to_use_manual_optimization(method):
    case = Backward(method)
    before = bits(case.model)
    with pytest.raises(ValueError, match="automatic_optimization = False"):
        Lightning(case.opt).step(case.lightning)
    assert bits(case.model) == before


@ALL
def test_a_closure_with_a_value_next_to_named_losses_is_rejected(method):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    before = bits(model)
    with pytest.raises(ValueError, match=r"also .*_loss: pass only the named losses"):
        opt.step(MLP.closure(model, 0), **{name: MLP.closure(model, 0) for name in opt.closures})
    assert bits(model) == before


@ALL
def test_a_step_without_a_loss_is_rejected_even_at_a_learning_rate_of_zero(method):
    """Only the step of torch.distributed.checkpoint, whose gradients are zero, may lack a loss."""
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.0)
    with pytest.raises(ValueError, match="got no loss closure"):
        opt.step()
    MLP.loss(model, 0).backward()
    with pytest.raises(ValueError, match="got no loss closure"):
        opt.step()
    assert not opt.state


@FIRST_ORDER
def test_a_hook_that_may_use_up_gradients_is_rejected_by_name(method):
    """As in optimizers that torch's tutorial runs inside the backward pass."""

    def optimizer_in_backward(p):
        p.grad = None

    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    handle = model[3].bias.register_post_accumulate_grad_hook(optimizer_in_backward)
    before = bits(model)
    with pytest.raises(ValueError, match=r"'3\.bias' has a gradient hook \(.*optimizer_in_backward\)"):
        opt.step(fo_loss=MLP.closure(model, 0))
    assert bits(model) == before
    handle.remove()
    opt.step(fo_loss=MLP.closure(model, 0))


def test_a_tensor_hook_changes_the_gradient_of_its_parameter():
    """In a single process, such a hook (to clip or to log) is honored."""
    model = MLP.build(torch.float64)
    grads = torch.autograd.grad(MLP.loss(model, 0), list(model.parameters()))
    limit = float(grads[0].abs().median())
    model[0].weight.register_hook(lambda g: g.clamp(-limit, limit))
    clipped = [grads[0].clamp(-limit, limit), *grads[1:]]
    expected = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), clipped, strict=True)]
    IPSGD(model, lr=0.1).step(fo_loss=MLP.closure(model, 0))
    torch.testing.assert_close([p.detach() for p in model.parameters()], expected, rtol=1e-13, atol=1e-13)


def test_the_closures_of_a_step_leave_no_hooks():
    model = MLP.build(torch.float32)
    opt = Addax(model, lr=0.1)
    opt.step(zo_loss=MLP.closure(model, 0), fo_loss=MLP.closure(model, 0))

    def broken():
        raise KeyError("row")

    for name in opt.closures:
        with pytest.raises(KeyError, match="row"):
            opt.step(**{name: broken})
    assert not any(p._post_accumulate_grad_hooks or p._backward_hooks for p in model.parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_another_runtime_error_in_a_closure_is_passed_on():
    model = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        IPSGD(model, lr=0.1).step(fo_loss=lambda: model(torch.ones(1, 3)).sum())
