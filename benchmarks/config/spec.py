"""RunSpec: everything that defines one run, parsed strictly before any work starts."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from addax.assignment import LengthThreshold
from benchmarks.config.methods import complete_settings
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.validation import validate
from benchmarks.errors import UserError

# Fields that joined after rows were committed: at these values they are left out of a spec's id.
DEFAULTS_OMITTED_FROM_ID = {
    "examples": None,
    "forward_equivalents": None,
    "length_threshold": None,
    "shots": None,
    "trainable": "all",
}


@dataclass(frozen=True)
class RunSpec:
    """One run. Build it with `from_dict`, which fills in the method's settings.

    Attributes:
        method: name of a method, or "zero-shot" for the evaluation before the first step.
        model: built-in name, local folder, or hub name (owner/name).
        task: name of a task.
        data: source of the rows: "builtin", "hub", or "folder" (its content's hash counts, not its path).
        seed: seed of the method's noise and of dropout.
        data_seed: seed of the rows drawn and of the order of batches.
        dtype: dtype of the model: float32, bfloat16, float16, or float64.
        device: device of the model: cpu, cuda, cuda:N, or auto (sharded).
        head: "lm" (prompts) or "classification" (plain inputs).
        scoring: "shared" or "per_candidate"; see `benchmarks.evaluation.scoring`.
        gradient_checkpointing: recompute activations in the first-order part's backward pass.
        dropout: use the model's own dropout in first-order losses; zeroth-order losses never do.
        steps: budget in optimizer steps.
        seconds: budget in seconds of training, evaluation excluded.
        examples: budget in training examples drawn into batches; a full-batch step draws all of them.
        forward_equivalents: budget in example-forwards; an example in a backward pass counts two more.
        schedule: learning-rate schedule: "constant", or "linear" to zero over the budget.
        evaluations: number of evaluations on the validation rows, evenly spaced, the last one at the end.
        eval_batch_size: examples in one evaluation forward.
        train_rows: training rows wanted; a source may have fewer.
        validation_rows: validation rows wanted; a source may have fewer.
        test_rows: test rows wanted; a source may have fewer.
        shots: rows of each class in training and in validation, in place of train_rows and validation_rows;
            none draws without regard to class.
        trainable: parameters to train: "all", "lora:R" (adapters of rank R at the query and value
            projections), or "last:N" (the head and the last N layers).
        length_threshold: L_T, for methods with both batches: tokens (170), a quantile of the lengths (q0.7),
            the largest that fits in an amount of memory (auto:40GB), or none (Addax-WA).
        settings: the method's own settings, complete and sorted: lr, its constructor's arguments, and its
            batch sizes.

    Exactly one of the budgets is set. A run ends with the first step that reaches it.
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
    trainable: str = "all"
    length_threshold: LengthThreshold | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        validate(self)

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits of a hash of `config()`."""
        omitted = DEFAULTS_OMITTED_FROM_ID
        values = {k: v for k, v in self.config().items() if k not in omitted or v != omitted[k]}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def budget(self) -> tuple[str, float]:
        """Name and amount of the budget; a zero-shot run has 0 steps."""
        return next((name, getattr(self, name)) for name in BUDGETS if getattr(self, name) is not None)

    def config(self) -> dict[str, Any]:
        """Return plain values, as a row stores them; `from_dict` is the inverse."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.length_threshold is not None:
            values["length_threshold"] = self.length_threshold.value()
        return values | {"settings": dict(self.settings)}

    def replace(self, **changes: Any) -> "RunSpec":
        """Return a spec with some fields or settings changed, parsed and validated as `from_dict` does."""
        return from_dict(self.config() | changes)


def field_names() -> set[str]:
    """Return the names of all fields, without the one that holds the method's settings."""
    return {f.name for f in dataclasses.fields(RunSpec)} - {"settings"}


def from_dict(values: Mapping[str, Any]) -> RunSpec:
    """Build a spec from plain values, strictly.

    Args:
        values: fields of `RunSpec`; every other key is a setting of the method.

    Raises:
        UserError: an unknown key, naming the nearest right one; a wrong type; an impossible combination.
    """
    names = field_names()
    fields = {k: _typed(k, v) for k, v in values.items() if k in names}
    for name in ("method", "model", "task"):
        if name not in fields:
            raise UserError(f"a run needs --{name}")
    settings = values.get("settings", {})
    if not isinstance(settings, Mapping):
        raise UserError(f"settings must map names to values, not {settings!r}")
    settings = dict(settings) | {k: v for k, v in values.items() if k not in names and k != "settings"}
    if fields["method"] == ZERO_SHOT:
        fields |= dict.fromkeys(BUDGETS) | {"steps": 0}
    return RunSpec(**fields, settings=complete_settings(fields["method"], settings, names))


def _typed(name: str, value: Any) -> Any:
    """Return the value in its field's type; an int serves as a float, nothing else is converted."""
    if name == "length_threshold":
        try:
            return LengthThreshold.parse(value)
        except ValueError as error:
            raise UserError(str(error)) from None
    annotation = next(f.type for f in dataclasses.fields(RunSpec) if f.name == name)
    kinds = get_args(annotation) or (annotation,)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        wanted = " or ".join("none" if k is type(None) else k.__name__ for k in kinds)
        raise UserError(f"{name} must be {wanted}, not {value!r}")
    return value
