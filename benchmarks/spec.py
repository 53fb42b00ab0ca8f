"""RunSpec: all that defines one run. Wrong input is refused here, before any work."""

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, get_args

from torch import nn

from addax.method import Method
from benchmarks import budget, models, registry, tasks
from benchmarks.errors import UserError, unknown

DTYPES = ("float32", "bfloat16", "float16", "float64")
CHOICES = {
    "dtype": DTYPES,
    "head": ("lm", "classification"),
    "scoring": ("shared", "per_candidate"),
    "schedule": ("constant", "linear"),
}
ZERO_SHOT = "zero-shot"
# What a run may be given, exactly one of them; each is a field.
BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")
# Fields that say nothing at these values are no part of a spec's id: rows made before they came keep theirs.
LATER = {"examples": None, "forward_equivalents": None, "parameters": "all", "shots": None}
# Where a spec names none: K0 and K1 of a method that takes both batches, and of one that takes one.
BATCH_OF_BOTH = {"zo_batch_size": 6, "fo_batch_size": 4}
BATCH_ALONE = {"zo_batch_size": 16, "fo_batch_size": 8}


@dataclass(frozen=True)
class RunSpec:
    """One run.

    Attributes:
        method: a method's name, or "zero-shot" for the evaluation before any step.
        model: built-in name, folder or hub name.
        task: a task's name.
        data: "builtin", "hub" or "folder" (whose path is no part of the spec; its content's hash is).
        seed: the method's noise and dropout.
        data_seed: which rows are drawn, and the order of batches.
        dtype, device: of the model.
        head: "lm" (prompts) or "classification" (plain inputs).
        scoring: "shared" or "per_candidate"; see `benchmarks.scoring`.
        gradient_checkpointing: of the first-order part.
        dropout: whether first-order losses use the model's own dropout; zeroth-order ones never do.
        steps: optimizer steps, or
        seconds: training seconds, evaluation excluded, or
        examples: training examples drawn into batches (a full-batch step draws them all), or
        forward_equivalents: examples in forward passes, plus two for each one in a backward pass; exactly
            one of these budgets is set, and a run ends with the first step that reaches it.
        schedule: of the learning rate: "constant", or "linear" to zero over the budget.
        evaluations: on the validation rows, evenly spaced, the last one at the end.
        eval_batch_size: examples of one evaluation forward.
        train_rows, validation_rows, test_rows: rows wanted; a source may have fewer.
        shots: rows of each class in training, and as many in validation, in place of `train_rows` and
            `validation_rows`; None draws without regard to class.
        parameters: that are trained: "all", "lora:R" (adapters of rank R at the query and value projections)
            or "last:N" (the head and the last N layers).
        set: the method's own settings, complete and sorted: lr, its constructor's arguments, its batch
            sizes and, where it takes both losses, length_threshold: tokens, a quantile ("q0.7"), the largest
            that fits in an amount of memory ("auto:40GB"), or None.
    """

    method: str
    model: str
    task: str
    data: str = "builtin"
    seed: int = 0
    data_seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    head: str = "lm"
    scoring: str = "shared"
    gradient_checkpointing: bool = False
    dropout: bool = True
    steps: int | None = None
    seconds: float | None = None
    examples: int | None = None
    forward_equivalents: int | None = None
    schedule: str = "constant"
    evaluations: int = 5
    eval_batch_size: int = 32
    train_rows: int = 1000
    validation_rows: int = 500
    test_rows: int = 1000
    shots: int | None = None
    parameters: str = "all"
    set: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "set", dict(sorted(_complete(self).items())))
        _validate(self)

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits of a hash of everything above."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in LATER or v != LATER[k]}
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def budget(self) -> tuple[str, float]:
        """Name and amount of the budget that is set; a zero-shot run has no steps."""
        return next((name, getattr(self, name)) for name in BUDGETS if getattr(self, name) is not None)

    @property
    def label(self) -> str:
        """The method's name in tables: Addax without a length threshold is Addax-WA.

        What is not the method's usual way stands behind it, as in "IP-SGD (checkpointing)", "Adam (LoRA)".
        """
        return self.label_at(self.set.get("length_threshold"))

    def label_at(self, length_threshold: int | str | None) -> str:
        """As `label`, for the threshold that was found where the spec only says how to find one."""
        if self.method == ZERO_SHOT:
            return ZERO_SHOT
        label = self.method_label(length_threshold)
        other = [way for way in ("released", "nearest") if way in self.set.values()]
        if self.method == "addax" and length_threshold is not None and not self.set["zo_batch_size"]:
            other.append("D1 only")
        kind, _, amount = self.parameters.partition(":")
        other += {"all": [], "lora": ["LoRA" if amount == "8" else f"LoRA {amount}"]}.get(
            kind, [f"last {amount}"]
        )
        other += ["checkpointing"] if self.gradient_checkpointing else []
        return f"{label} ({', '.join(other)})" if other else label

    def method_label(self, length_threshold: int | str | None) -> str:
        """The first part of a label: the method, without what this run does in another way."""
        wa = self.method == "addax" and length_threshold is None
        return f"{method_class(self.method).label}{'-WA' if wa else ''}"


def from_dict(values: Mapping[str, Any]) -> RunSpec:
    """A spec from plain values, strictly: a key that is no field is a setting of the method.

    Raises:
        UserError: an unknown key, naming the nearest right one; a wrong type; anything impossible.
    """
    names = {f.name for f in dataclasses.fields(RunSpec)} - {"set"}
    fields = {k: v for k, v in values.items() if k in names}
    held = values.get("set", {})
    if not isinstance(held, Mapping):
        raise UserError(f"set holds the method's settings by name, not {held!r}")
    own = {k: v for k, v in values.items() if k not in names and k != "set"} | dict(held)
    for name in ("method", "model", "task"):
        if name not in fields:
            raise UserError(f"a run needs --{name}")
    return RunSpec(**{k: _typed(k, v) for k, v in fields.items()}, set=own)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """`key=value` words as typed values; UserError on a malformed or repeated one.

    >>> parse_settings(["lr=3e-4", "length_threshold=none", "variant=paper"])
    {'lr': 0.0003, 'length_threshold': None, 'variant': 'paper'}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set wants key=value, not {pair!r}")
        if key in values:
            raise UserError(f"--set {key} is given twice: {values[key]!r} and {text!r}")
        values[key] = _value(text)
    return values


def _value(text: str) -> Any:
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _typed(name: str, value: Any) -> Any:
    """The value in the field's type; an int serves as a float, nothing else is converted."""
    annotation = next(f.type for f in dataclasses.fields(RunSpec) if f.name == name)
    kinds = get_args(annotation) or (annotation,)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        wanted = " or ".join("none" if k is type(None) else k.__name__ for k in kinds)
        raise UserError(f"{name} must be {wanted}, not {value!r}")
    return value


@cache
def method_class(name: str) -> type[Method]:
    """The optimizer class that a method's file defines."""
    module = registry.module("method", name)
    own = [
        c
        for c in vars(module).values()
        if inspect.isclass(c) and issubclass(c, Method) and c.__module__ == module.__name__
    ]
    if len(own) != 1:
        found = f" ({', '.join(c.__name__ for c in own)})" if own else ""
        raise UserError(f"{registry.path('method', name)}: defines {len(own)} methods{found}, not one")
    for attribute in ("label", "losses"):
        if not hasattr(own[0], attribute):
            raise UserError(f"{registry.path('method', name)}: {own[0].__name__} has no {attribute}")
    return own[0]


@cache
def settings_of(method: str) -> dict[str, Any]:
    """Names and defaults of all settings of a method; lr has no default (`inspect.Parameter.empty`)."""
    if method == ZERO_SHOT:
        return {}
    cls = method_class(method)
    signature = inspect.signature(cls.__init__).parameters
    no_settings = ("self", "model", "seed", "params", "check", "process_group")
    known = {n: p.default for n, p in signature.items() if n not in no_settings}
    both = {"zo_loss", "fo_loss"} <= set(cls.losses)
    for loss, key in (("zo_loss", "zo_batch_size"), ("fo_loss", "fo_batch_size")):
        if loss in cls.losses:
            known[key] = (BATCH_OF_BOTH if both else BATCH_ALONE)[key]
    return known | ({"length_threshold": None} if both else {})


def _complete(spec: RunSpec) -> dict[str, Any]:
    if spec.method != ZERO_SHOT:
        registry.path("method", spec.method)
    known = settings_of(spec.method)
    fields = {f.name for f in dataclasses.fields(RunSpec)} - {"set"}
    for key in spec.set:
        if key not in known:
            owners = [m for m in registry.files("method") if key in settings_of(m)]
            if owners:
                raise UserError(f"{spec.method} takes no {key}: it is a setting of {', '.join(owners)}")
            raise unknown("setting", key, [*known, *fields])
    values = known | dict(spec.set)
    for key, value in values.items():
        default = known[key]
        if value is inspect.Parameter.empty:
            raise UserError(f"{spec.method} needs a learning rate: --set lr=...")
        if type(default) is int and type(value) is not int:
            raise UserError(f"{key} must be a whole number, not {value!r}")
        if (type(default) is float or key == "lr") and type(value) not in (int, float):
            raise UserError(f"{key} must be a number, not {value!r}")
        if isinstance(default, tuple) and (type(value) not in (list, tuple) or len(value) != len(default)):
            raise UserError(f"{spec.method}: {key} must be a list of {len(default)} numbers, not {value!r}")
        if type(value) is int and (type(default) is float or key == "lr"):
            values[key] = float(value)
        if isinstance(value, tuple):
            values[key] = list(value)
    return values


def _validate(spec: RunSpec) -> None:
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
    _validate_model(spec)
    _validate_settings(spec)


def _validate_model(spec: RunSpec) -> None:
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


def _validate_settings(spec: RunSpec) -> None:
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


def build_optimizer(spec: RunSpec, model: nn.Module) -> Method:
    """The method of a spec on a model."""
    cls = method_class(spec.method)
    accepted = inspect.signature(cls.__init__).parameters
    own = {k: v for k, v in spec.set.items() if k in accepted}
    if "seed" in accepted:
        own["seed"] = spec.seed
    return cls(model, **own)


def with_defaults(values: Mapping[str, Any]) -> RunSpec:
    """A spec for one run by hand: what is not given comes from suite `quick`, for the built-in models.

    Raises:
        UserError: as `from_dict`; or no learning rate or budget for a model that `quick` does not know.
    """
    values = dict(values)
    given = [name for name in BUDGETS if name in values]
    if "lr" in values and given:
        return from_dict(values)
    from benchmarks.suites import quick

    known = quick.defaults(values.get("method"), values.get("model"))
    if known is None and values.get("method") != ZERO_SHOT:
        missing = "lr" if "lr" not in values else f"a budget ({', '.join(BUDGETS)})"
        method = values.get("method")
        settings_of(method)
        models.check(values.get("model", ""))
        raise UserError(f"{method} on {values.get('model')} needs {missing}: give --set lr=... steps=...")
    for key, value in (known or {}).items():
        if key not in BUDGETS or not given:
            values.setdefault(key, value)
    return from_dict(values)
