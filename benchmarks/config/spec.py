"""RunSpec: the complete configuration of a run, validated before any work starts."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from addax.assignment import LengthThreshold
from benchmarks import tasks
from benchmarks.config.effects import check_effects
from benchmarks.config.identity import identifying
from benchmarks.config.methods import complete_settings
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.validation import validate
from benchmarks.errors import UserError


@dataclass(frozen=True)
class RunSpec:
    """Configuration of a run. Build it with `from_dict`, which fills in the method's default settings.

    Attributes:
        method: method name, or "zero-shot" to evaluate the model without training.
        model: built-in name, local folder, or hub name (owner/name, or owner/name@REVISION for a branch, tag,
            or commit).
        task: task name, or the path of a TOML file that describes a task.
        data: source of the rows: "builtin", "hub", "folder", or "file" (a row records the hash of the
            rows, not a path).
        data_revision: branch, tag, or commit of the data set, with data=hub; none takes the task's.
        seed: seed of the method's noise and of dropout.
        data_seed: seed that selects the rows and orders the batches.
        dtype: dtype of the model: float32, bfloat16, float16, or float64.
        device: device of the model: cpu, cuda, cuda:N, or auto (sharded over all GPUs).
        head: output head: "lm" for prompts, or "classification" for plain inputs.
        metric: metric of the scores; for a classification task "accuracy", "class_f1" (F1 of the second
            class, or the mean over more than two), or "matthews" (Matthews correlation); none for the task's
            own.
        scoring: candidate scoring: "shared" computes the prompt once for all candidates; "per_candidate" runs
            one full sequence per candidate, as the published code does.
        gradient_checkpointing: recompute activations in the backward pass of the first-order part.
        dropout: apply the model's dropout in first-order losses; zeroth-order losses never apply it.
        steps: training budget in optimizer steps.
        seconds: training budget in seconds; evaluation does not count.
        examples: training budget in examples drawn into batches; a full-batch step draws all training rows.
        forward_equivalents: training budget in example-forwards; each example in a backward pass counts two
            more, and one more if its activations are recomputed.
        schedule: learning-rate schedule: "constant", or "linear" decay to zero over the budget.
        evaluations: number of evaluations on the validation rows, evenly spaced; the last one is at the end.
        eval_batch_size: number of examples in an evaluation batch.
        train_rows: number of training rows; a small source may give fewer.
        validation_rows: number of validation rows; a small source may give fewer.
        test_rows: number of test rows; a small source may give fewer.
        shots: number of training rows per class and of validation rows per class, instead of train_rows and
            validation_rows; none draws rows regardless of their class.
        trainable: parameters to train: "all", "lora:R" (adapters of rank R on the query and value
            projections, or on the matrix that fuses them), "prefix:N" (keys and values of N tokens before the
            input, in every layer), "last:N" (the head and the last N layers), or "adapter" (the adapter of an
            adapter folder).
        length_threshold: L_T, for methods with two batches: a number of tokens (170), a quantile of the
            lengths (q0.7), the largest value that fits in an amount of memory (auto:40GB), or none
            (Addax-WA).
        long_above: number of tokens (170) above which an example is long, or a quantile of the training
            lengths (q0.75); a row then also holds the test scores of long and of short rows; none takes L_T.
        demonstrations: number of training rows, with their answers, before the prompt of each evaluated row
            (in-context learning); for zero-shot only.
        train_on: training rows to train on: "all", or "short" for those of at most long_above tokens.
        trust_remote_code: run the Python code in the model's folder or repository; such code can do anything
            on this machine.
        settings: all settings of the method, sorted by name: lr, the other constructor arguments, and the
            batch sizes.

    Exactly one budget is set. A run ends with the first step that reaches it.
    """

    method: str
    model: str
    task: str
    data: str = "builtin"
    data_revision: str | None = None
    seed: int = 0
    data_seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    head: str = "lm"
    metric: str | None = None
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
    long_above: LengthThreshold | None = None
    demonstrations: int = 0
    train_on: str = "all"
    trust_remote_code: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    # The names of the fields and settings that the caller of `from_dict` chose; not a field of the run.
    given = frozenset()

    def __post_init__(self) -> None:
        if self.long_above == self.length_threshold:
            # L_T is the default, so a run that repeats it has the same id.
            object.__setattr__(self, "long_above", None)
        validate(self)
        if self.metric == tasks.load(self.task).metric:
            object.__setattr__(self, "metric", None)

    @cached_property
    def id(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 hash of the identifying part of `config()`."""
        values = json.dumps(identifying(self.config()), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]

    @property
    def budget(self) -> tuple[str, float]:
        """The name and the amount of the budget; 0 steps for a zero-shot run."""
        return next((name, getattr(self, name)) for name in BUDGETS if getattr(self, name) is not None)

    def config(self) -> dict[str, Any]:
        """Return the plain values that a row stores; `from_dict` is the inverse."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("length_threshold", "long_above"):
            if values[name] is not None:
                values[name] = values[name].value()
        return values | {"settings": dict(self.settings)}

    def replace(self, **changes: Any) -> "RunSpec":
        """Return a copy with some fields or settings changed, which `from_dict` parses and validates."""
        return _with_given(from_dict(self.config() | changes), self.given | changes.keys())


def _with_given(spec: RunSpec, names: Iterable[str]) -> RunSpec:
    # A frozen dataclass still has a dictionary, in which `cached_property` keeps its values, too.
    spec.__dict__["given"] = frozenset(names)
    return spec


def field_names() -> set[str]:
    """Return the names of all fields except `settings`."""
    return {f.name for f in dataclasses.fields(RunSpec)} - {"settings"}


def from_dict(values: Mapping[str, Any]) -> RunSpec:
    """Build a spec from plain values, and validate it.

    Args:
        values: fields of `RunSpec`; any other key is a setting of the method.

    Raises:
        UserError: a key is unknown (the message suggests the closest one), a value has the wrong type, or the
            combination is invalid.
    """
    names = field_names()
    fields = {k: _typed(k, v) for k, v in values.items() if k in names}
    for name in ("method", "model", "task"):
        if name not in fields:
            raise UserError(f"a run needs a {name}: pass --{name}")
    settings = values.get("settings", {})
    if not isinstance(settings, Mapping):
        raise UserError(f"settings must map names to values, not {settings!r}")
    settings = dict(settings) | {k: v for k, v in values.items() if k not in names and k != "settings"}
    if fields["method"] == ZERO_SHOT:
        budget = next((name for name in BUDGETS if fields.get(name)), None)
        if budget is not None:
            raise UserError(f"zero-shot does not take {budget}: it takes no steps, so it has no budget")
        fields |= dict.fromkeys(BUDGETS) | {"steps": 0}
    spec = RunSpec(**fields, settings=complete_settings(fields["method"], settings, names))
    # A complete configuration, such as that of a row, says nothing about what was chosen.
    chosen = frozenset() if "settings" in values else frozenset(values)
    check_effects(spec, chosen)
    return _with_given(spec, chosen)


def _typed(name: str, value: Any) -> Any:
    """Return a value with the type of its field; only int is converted, to float."""
    if name in ("length_threshold", "long_above"):
        try:
            return LengthThreshold.parse(value)
        except ValueError as error:
            if name == "length_threshold":
                raise UserError(str(error)) from None
            raise UserError(
                f"long_above must be in tokens (170), a quantile (q0.75), or none, not {value!r}"
            ) from None
    annotation = next(f.type for f in dataclasses.fields(RunSpec) if f.name == name)
    kinds = get_args(annotation) or (annotation,)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        expected = " or ".join("none" if k is type(None) else k.__name__ for k in kinds)
        raise UserError(f"{name} must be {expected}, not {value!r}")
    return value
