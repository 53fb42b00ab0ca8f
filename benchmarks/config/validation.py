"""What a run's spec may be: every wrong one is refused here, before any work."""

from typing import TYPE_CHECKING

from torch import nn

from benchmarks import models, registry, tasks
from benchmarks.config import units as budget
from benchmarks.config.methods import ZERO_SHOT, build_optimizer
from benchmarks.errors import UserError, unknown

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

DTYPES = ("float32", "bfloat16", "float16", "float64")
CHOICES = {
    "dtype": DTYPES,
    "head": ("lm", "classification"),
    "scoring": ("shared", "per_candidate"),
    "schedule": ("constant", "linear"),
}
# What a run may be given, exactly one of them; each is a field.
BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")


def check(spec: "RunSpec") -> None:
    """Refuses what cannot be run, and gives a zero-shot run its budget of no steps.

    Raises:
        UserError: naming the field and what it may be.
    """
    models.check(spec.model)
    registry.path("task", spec.task)
    for name, known in CHOICES.items():
        if getattr(spec, name) not in known:
            raise unknown(name, getattr(spec, name), known)
    if spec.data not in ("builtin", "hub", "folder"):
        raise unknown("data source", spec.data, ("builtin", "hub", "folder"))
    if spec.method == ZERO_SHOT:
        for name in BUDGETS:
            object.__setattr__(spec, name, 0 if name == "steps" else None)
    elif sum(getattr(spec, name) is not None for name in BUDGETS) != 1:
        raise UserError(f"a run has a budget of either {' or '.join(BUDGETS)}, exactly one of them")
    elif not 0 < spec.budget[1] < float("inf"):
        raise UserError("the budget must be positive, not {}={}".format(*spec.budget))
    for name in ("evaluations", "eval_batch_size", "train_rows", "validation_rows", "test_rows"):
        if getattr(spec, name) < 1:
            raise UserError(f"{name} must be at least 1, not {getattr(spec, name)}")
    if spec.shots is not None and spec.shots < 1:
        raise UserError(f"shots must be at least 1, not {spec.shots}")
    for name in ("seed", "data_seed"):
        # Beyond 64 bits seeds would wrap around: two of them would be one.
        if not 0 <= getattr(spec, name) < 2**63:
            raise UserError(f"{name} must be in [0, 2**63), not {getattr(spec, name)}")
    _check_model(spec)
    _check_settings(spec)


def _check_model(spec: "RunSpec") -> None:
    task = tasks.load(spec.task)
    kind, _, amount = spec.parameters.partition(":")
    if spec.parameters != "all" and not (kind in ("lora", "last") and amount.isdecimal() and int(amount)):
        raise UserError(f"parameters are all, lora:R or last:N, not {spec.parameters!r}")
    if spec.shots is not None and task.loss == "teacher_forcing":
        raise UserError(f"task {spec.task} has no classes to draw shots of")
    if spec.head == "classification":
        if task.loss == "teacher_forcing":
            raise UserError(f"task {spec.task} has no fixed classes: head=classification cannot serve it")
        if spec.method == ZERO_SHOT:
            raise UserError("zero-shot needs head=lm: a fresh classification head knows nothing")
    elif (task.loss == "teacher_forcing") and models.is_masked(spec.model):
        raise UserError(f"task {spec.task} needs a causal model: {spec.model} is a masked LM")


def _check_settings(spec: "RunSpec") -> None:
    values = spec.set
    for key in ("zo_batch_size", "fo_batch_size"):
        if key in values and values[key] < 0:
            raise UserError(f"{key} must not be negative: {values[key]}")
    threshold = values.get("length_threshold")
    if isinstance(threshold, str) and threshold.startswith(budget.AUTO):
        budget.parse(threshold.removeprefix(budget.AUTO), f"length_threshold={budget.AUTO}")
        if spec.device == "auto":
            raise UserError(
                f"length_threshold={threshold} is for one device: with device=auto give it in tokens"
            )
        if not values["fo_batch_size"]:
            raise UserError(f"length_threshold={threshold} needs a first-order batch: fo_batch_size is 0")
    elif isinstance(threshold, str):
        if not _is_quantile(threshold):
            raise UserError(
                f"length_threshold is in tokens, a quantile (q0.7), auto:40GB or none, not {threshold!r}"
            )
    elif threshold is not None and (type(threshold) is not int or threshold < 1):
        raise UserError(f"length_threshold must be a positive number of tokens, not {threshold!r}")
    if spec.method == ZERO_SHOT:
        return
    try:
        # The constructor's own checks, on the smallest model there is.
        build_optimizer(spec, nn.Linear(1, 1))
    except (TypeError, ValueError) as error:
        raise UserError(f"{spec.method}: {error}") from None
    if "alpha" in values and "zo_batch_size" in values:
        for key, weight in (("zo_batch_size", values["alpha"]), ("fo_batch_size", 1 - values["alpha"])):
            if (values[key] == 0) != (weight == 0):
                raise UserError(
                    f"{key} = {values[key]} does not go with alpha = {values['alpha']:g}: a part without "
                    f"weight has no batch, and a part with weight has one"
                )
    for key in ("zo_batch_size", "fo_batch_size"):
        if values.get(key) == 0 and "alpha" not in values:
            raise UserError(f"{key} must be at least 1 for {spec.method}")


def _is_quantile(text: str) -> bool:
    try:
        return text.startswith("q") and 0 < float(text[1:]) <= 1
    except ValueError:
        return False
