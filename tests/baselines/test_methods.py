"""Tests of the contract of every method. New files are picked up automatically."""

import ast
import copy
import inspect
import math
import re

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from addax.optimizer import Method
from addax.step_stats import StepStats
from benchmarks.errors import UserError
from benchmarks.registry import files, module, path
from benchmarks.results.order import method_of
from tests.packages import NEEDS

ALL = sorted(files("method") | files("optimizer"))
METHODS = pytest.mark.parametrize("method", [pytest.param(name, marks=NEEDS.get(name, ())) for name in ALL])
SCHEDULERS = {
    "constant": lambda opt: lr_scheduler.ConstantLR(opt, 0.5, 2),
    "lambda": lambda opt: lr_scheduler.LambdaLR(opt, lambda k: 0.9**k),
    "multiplicative": lambda opt: lr_scheduler.MultiplicativeLR(opt, lambda k: 0.9),
    "step": lambda opt: lr_scheduler.StepLR(opt, 2),
    "multi-step": lambda opt: lr_scheduler.MultiStepLR(opt, [1, 3]),
    "linear": lambda opt: lr_scheduler.LinearLR(opt, 0.1, 1.0, 3),
    "exponential": lambda opt: lr_scheduler.ExponentialLR(opt, 0.9),
    "polynomial": lambda opt: lr_scheduler.PolynomialLR(opt, 5),
    "cosine": lambda opt: lr_scheduler.CosineAnnealingLR(opt, 5),
    "warm restarts": lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 2),
    "cyclic": lambda opt: lr_scheduler.CyclicLR(opt, 1e-4, 1e-3, 2, cycle_momentum=False),
    "one cycle": lambda opt: lr_scheduler.OneCycleLR(opt, 1e-3, total_steps=10, cycle_momentum=False),
    "sequential": lambda opt: lr_scheduler.SequentialLR(
        opt, [lr_scheduler.LinearLR(opt, 0.1, 1.0, 2), lr_scheduler.CosineAnnealingLR(opt, 5)], [2]
    ),
    "plateau": lambda opt: lr_scheduler.ReduceLROnPlateau(opt, patience=0),
}


def class_of(method: str) -> type[Method]:
    """Return the one method class that a file defines."""
    file = module("method", method)
    defined = [c for c in vars(file).values() if isinstance(c, type) and c.__module__ == file.__name__]
    classes = [c for c in defined if issubclass(c, Method)]
    assert len(classes) == 1, f"{method} defines {[c.__name__ for c in classes]}"
    return classes[0]


def head(method: str) -> str:
    """Return the docstring of a method's file."""
    return ast.get_docstring(ast.parse(path("method", method).read_text())) or ""


class Regression:
    """A least-squares problem in any dtype whose minimum is zero: `(16, 6)` inputs and a linear model."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(16, 6, generator=generator)
        truth = torch.randn(6, 1, generator=generator)
        self.x, self.y = x.to(dtype), x @ truth
        self.model = nn.Linear(6, 1, bias=False)
        with torch.no_grad():
            self.model.weight.zero_()
        self.model.to(dtype)

    def loss(self) -> torch.Tensor:
        """Return the mean squared error, in float32."""
        return nn.functional.mse_loss(self.model(self.x).float(), self.y)

    def step(self, opt: Method) -> StepStats:
        """Take one step with all closures of the method."""
        return opt.step(**dict.fromkeys(opt.closures, self.loss))


@METHODS
def test_the_module_docstring_states_equation_cost_and_memory(method):
    """The docstring states a one-line purpose, the update as an equation, a source, a cost, and memory."""
    text = head(method)
    first = text.split("\n", 1)[0]
    assert first.endswith(".")
    assert ": " in first
    assert "theta" in text
    assert "<-" in text
    assert re.search(r"arXiv \d{4}\.\d{4,5}|, 19\d\d\b", text)
    lines = [line.split(":")[0] for line in text.splitlines() if line[:1].isupper() and ":" in line]
    assert lines[-2:] == ["Cost", "Memory"]


@METHODS
def test_a_file_defines_one_class_that_is_built_from_model_and_lr(method):
    cls = class_of(method)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    assert [p.name for p in parameters[:2]] == ["model", "lr"]
    rest = [p for p in parameters[2:] if p.kind is not p.VAR_KEYWORD]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in rest)
    assert cls.label
    assert cls.__doc__
    assert cls.step.__doc__
    opt = cls(nn.Linear(2, 1), lr=0.1)
    assert isinstance(opt, torch.optim.Optimizer)
    assert opt.param_groups[0]["lr"] == 0.1


def test_labels_are_unique():
    labels = [class_of(m).label for m in ALL]
    assert len(set(labels)) == len(labels)
    # Tables recognize a method by the first word of a label.
    assert len({method_of(label) for label in labels}) == len(labels)


@METHODS
def test_closures_are_known_and_keyword_only(method):
    cls = class_of(method)
    assert cls.closures
    assert set(cls.closures) <= {"zo_loss", "fo_loss", "full_loss"}
    step = inspect.signature(inspect.unwrap(cls.step)).parameters
    assert set(cls.closures) <= set(step)
    assert all(p.kind is p.KEYWORD_ONLY for p in step.values() if p.name != "self")


@METHODS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_steps_reduce_a_convex_loss(method, dtype):
    """From zero, 200 steps at one learning rate for all methods more than halve the loss."""
    if method == "adafactor":
        pytest.skip("its steps are relative to the weights, which are zero")
    problem = Regression(dtype)
    opt = class_of(method)(problem.model, lr=0.02)
    before = problem.loss().item()
    for _ in range(200):
        problem.step(opt)
    assert problem.loss().item() < 0.5 * before


@METHODS
def test_step_stats_match_the_closures(method):
    problem = Regression()
    opt = class_of(method)(problem.model, lr=1e-3)
    stats = problem.step(opt)
    assert isinstance(stats, StepStats)
    assert stats.loss.shape == ()
    assert not stats.loss.requires_grad
    assert stats.loss.item() == pytest.approx(Regression().loss().item(), rel=1e-3)
    assert stats.skipped.shape == ()
    assert stats.skipped.dtype == torch.bool
    assert not stats.skipped
    assert (stats.projected_grad is None) == ("zo_loss" not in opt.closures)
    assert stats.forwards >= 1
    assert stats.backwards == ("fo_loss" in opt.closures)
    assert opt.steps == 1


@METHODS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_realized_fraction_is_measured_in_16_bit(method, dtype):
    """Every method measures it, except those whose updates torch or another package writes."""
    if (method, dtype) == ("schedule-free", torch.float16):
        pytest.skip("it rejects float16")
    problem = Regression(dtype)
    opt = class_of(method)(problem.model, lr=1e-2)
    measured = [problem.step(opt).realized_fraction for _ in range(8 * opt.MEASURE_EVERY + 1)]
    if "rounding" not in opt.arguments():
        assert measured == [None] * len(measured)
        return
    assert all((m is None) == bool(k % opt.MEASURE_EVERY) for k, m in enumerate(measured))
    # In float16, the first steps may overflow until the loss scale fits. Their intended step is zero.
    later = [m.item() for m in measured[1:] if m is not None and not m.isnan()]
    assert 0.5 < sum(later) / len(later) < 1.5


def check_schedule(method: str, scheduler: str) -> None:
    """Take five steps with a schedule. Check that the rate changes and that no step is skipped."""
    problem = Regression()
    opt = class_of(method)(problem.model, lr=1e-3)
    schedule = SCHEDULERS[scheduler](opt)
    rates = []
    for _ in range(5):
        stats = problem.step(opt)
        schedule.step(*([math.inf] if scheduler == "plateau" else []))
        rates.append(opt.param_groups[0]["lr"])
    assert not stats.skipped
    assert len(set(rates)) > 1
    assert torch.isfinite(problem.model.weight).all()


@METHODS
def test_every_method_follows_a_schedule(method):
    check_schedule(method, "lambda")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
def test_every_scheduler_drives_the_base_class(scheduler):
    check_schedule("addax", scheduler)


@METHODS
def test_a_learning_rate_of_zero_moves_nothing(method):
    problem = Regression(torch.bfloat16)
    problem.model.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    before = problem.model.weight.detach().clone()
    opt = class_of(method)(problem.model, lr=0.0)
    for _ in range(3):
        problem.step(opt)
    assert torch.equal(problem.model.weight, before)


@METHODS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_state_can_be_saved_and_loaded(method, dtype):
    """Three steps, a saved and loaded state, and four steps equal seven steps."""
    whole, part = Regression(dtype), Regression(dtype)
    cls = class_of(method)
    opt = cls(whole.model, lr=1e-2)
    for _ in range(7):
        whole.step(opt)
    opt = cls(part.model, lr=1e-2)
    for _ in range(3):
        part.step(opt)
    resumed = cls(part.model, lr=0.5)
    resumed.load_state_dict(copy.deepcopy(opt.state_dict()))
    for _ in range(4):
        part.step(resumed)
    assert torch.equal(part.model.weight, whole.model.weight)


@METHODS
def test_weights_and_state_saved_inside_evaluation_weights_continue_the_run(method):
    """Four steps from a checkpoint equal the four steps of the run that wrote it."""
    whole, part = Regression(), Regression()
    cls = class_of(method)
    opt = cls(whole.model, lr=1e-2)
    for _ in range(3):
        whole.step(opt)
    before = whole.model.weight.detach().clone()
    with opt.evaluation_weights(), opt.evaluation_weights():
        saved = copy.deepcopy((whole.model.state_dict(), opt.state_dict()))
    assert torch.equal(whole.model.weight, before)
    resumed = cls(part.model, lr=0.5)
    part.model.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    for _ in range(4):
        whole.step(opt)
        part.step(resumed)
    assert torch.equal(part.model.weight, whole.model.weight)


@METHODS
def test_a_step_changes_no_global_state(method):
    problem = Regression(torch.bfloat16)
    opt = class_of(method)(problem.model, lr=1e-2)
    before = torch.get_rng_state()
    problem.step(opt)
    problem.step(opt)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_file_is_a_new_method(tmp_path, monkeypatch):
    """A file in baselines/ is found under its name with dashes, unless its name begins with an underscore."""
    from benchmarks import registry

    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "sign_sgd.py").write_text('"""Sign-SGD: a test."""\n')
    (tmp_path / "baselines" / "_shared.py").write_text("")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    registry.files.cache_clear()
    try:
        assert set(registry.files("method")) == {"addax", "sign-sgd"}
        assert registry.summary("method", "sign-sgd") == "Sign-SGD: a test."
    finally:
        registry.files.cache_clear()


def test_the_error_for_an_unknown_method_names_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'mezo'"):
        path("method", "mezoo")


@METHODS
def test_a_method_declares_the_closures_of_each_step(method):
    """Steps that get only `next_closures()` work, and `step_kinds` different sets of closures occur."""
    problem = Regression(torch.float32)
    opt = class_of(method)(problem.model, lr=1e-3)
    seen = []
    for _ in range(2 * opt.step_kinds):
        seen.append(opt.next_closures())
        assert opt.next_closures() == seen[-1]
        opt.step(**dict.fromkeys(seen[-1], problem.loss))
    assert set(seen[-1]) <= set(opt.closures)
    assert len(set(seen)) == opt.step_kinds
    assert set(opt.closures) == set().union(*seen)


@METHODS
def test_a_step_without_a_declared_closure_is_rejected(method):
    problem = Regression(torch.float32)
    opt = class_of(method)(problem.model, lr=1e-3)
    for _ in range(opt.step_kinds):
        needed = opt.next_closures()
        others = [name for name in opt.closures if name not in needed]
        with pytest.raises(ValueError, match=r"pass .*_loss"):
            opt.step(**dict.fromkeys(others, problem.loss))
        opt.step(**dict.fromkeys(needed, problem.loss))


@METHODS
def test_arguments_and_their_defaults_are_those_of_the_constructor(method):
    cls = class_of(method)
    defaults = cls.arguments()
    assert defaults.pop("lr") is inspect.Parameter.empty
    model = nn.Linear(2, 1)
    assert isinstance(cls(model, lr=0.1, **defaults), cls)
    with pytest.raises(TypeError, match="unexpected keyword argument 'epsilon'"):
        cls(model, lr=0.1, epsilon=1e-3)
