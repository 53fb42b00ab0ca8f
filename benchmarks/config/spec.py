"""RunSpec: all that defines one run. Wrong input is refused here, before any work."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from benchmarks import models
from benchmarks.config.methods import ZERO_SHOT, complete, method_class, settings_of
from benchmarks.config.validation import BUDGETS, check
from benchmarks.errors import UserError

# Fields that say nothing at these values are no part of a spec's id: rows made before they came keep theirs.
LATER = {"examples": None, "forward_equivalents": None, "parameters": "all", "shots": None}


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
        scoring: "shared" or "per_candidate"; see `benchmarks.evaluation.scoring`.
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
        own = complete(self.method, self.set, _names())
        object.__setattr__(self, "set", dict(sorted(own.items())))
        check(self)

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
    names = _names()
    fields = {k: v for k, v in values.items() if k in names}
    held = values.get("set", {})
    if not isinstance(held, Mapping):
        raise UserError(f"set holds the method's settings by name, not {held!r}")
    own = {k: v for k, v in values.items() if k not in names and k != "set"} | dict(held)
    for name in ("method", "model", "task"):
        if name not in fields:
            raise UserError(f"a run needs --{name}")
    return RunSpec(**{k: _typed(k, v) for k, v in fields.items()}, set=own)


def _names() -> set[str]:
    """The fields, but for the one that holds the method's settings."""
    return {f.name for f in dataclasses.fields(RunSpec)} - {"set"}


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
