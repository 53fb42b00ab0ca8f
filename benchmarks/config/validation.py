"""Validation of specs: invalid values and combinations are rejected before any work starts."""

from typing import TYPE_CHECKING

from benchmarks import models, registry, tasks
from benchmarks.config import import_paths
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.errors import UserError, unknown
from benchmarks.models import _adapters
from benchmarks.models._generic import check_head

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

DTYPES = ("float32", "bfloat16", "float16", "float64")
CHOICES = {
    "dtype": DTYPES,
    "head": ("lm", "classification"),
    "scoring": ("shared", "per_candidate"),
    "schedule": ("constant", "linear"),
    "train_on": ("all", "short"),
}
SOURCES = ("builtin", "hub", "folder", "file")
AT_LEAST_ONE = ("evaluations", "eval_batch_size", "train_rows", "validation_rows", "test_rows")
BATCH_SIZES = ("zo_batch_size", "fo_batch_size")


def validate(spec: "RunSpec") -> None:
    """Check that a spec can run.

    Raises:
        UserError: a value or a combination is invalid; the message names the field and the valid values.
    """
    models.check(spec.model, spec.trust_remote_code)
    registry.path("task", spec.task)
    for name, known in CHOICES.items():
        if getattr(spec, name) not in known:
            raise unknown(name, getattr(spec, name), known)
    if spec.data not in SOURCES:
        raise unknown("data source", spec.data, SOURCES)
    if spec.data_revision is not None and (spec.data != "hub" or not spec.data_revision.strip()):
        raise UserError(
            f"data_revision={spec.data_revision} needs data=hub and the name of a branch, a tag, or a commit"
        )
    _check_budget(spec)
    for name in AT_LEAST_ONE:
        if getattr(spec, name) < 1:
            raise UserError(f"{name} must be at least 1, not {getattr(spec, name)}")
    if spec.shots is not None and spec.shots < 1:
        raise UserError(f"shots must be at least 1, not {spec.shots}")
    for name in ("seed", "data_seed"):
        # Larger seeds would wrap around at 64 bits, so that two seeds would give the same run.
        if not 0 <= getattr(spec, name) < 2**63:
            raise UserError(f"{name} must be in [0, 2**63), not {getattr(spec, name)}")
    _check_model(spec)
    _check_demonstrations(spec)
    _check_lengths(spec)
    _check_settings(spec)


def _check_budget(spec: "RunSpec") -> None:
    given = {name: getattr(spec, name) for name in BUDGETS if getattr(spec, name) is not None}
    if spec.method == ZERO_SHOT:
        if given != {"steps": 0}:
            raise UserError("zero-shot has no budget: build its spec with from_dict")
    elif len(given) != 1:
        raise UserError(f"a run needs exactly one budget: pass one of {', '.join(BUDGETS)}")
    elif not 0 < spec.budget[1] < float("inf"):
        raise UserError("the budget must be positive and finite, not {}={}".format(*spec.budget))


def _check_model(spec: "RunSpec") -> None:
    task = tasks.load(spec.task)
    family = models.known_family(spec.model, spec.trust_remote_code)
    if family is not None:
        check_head(family, spec.head, spec.model)
    kind, _, amount = spec.trainable.partition(":")
    numbered = kind in ("lora", "prefix", "last") and amount.isdecimal() and int(amount)
    if spec.trainable not in ("all", "adapter") and not numbered:
        raise UserError(
            f"trainable must be all, lora:R, prefix:N, last:N, or adapter, not {spec.trainable!r}"
        )
    if kind == "prefix" and (spec.head == "classification" or (family is not None and family.masked)):
        raise UserError(f"trainable={spec.trainable} needs a causal model and head=lm: use trainable=lora:R")
    if spec.trainable == "adapter" and _adapters.folder_of(spec.model) is None:
        raise UserError(
            f"trainable=adapter needs a model with an adapter: {spec.model} is not a folder with an "
            f"{_adapters.ADAPTER} and no {_adapters.CONFIG}"
        )
    if spec.shots is not None and task.loss == "teacher_forcing":
        raise UserError(f"task {spec.task} has no classes: shots requires a classification task")
    if spec.metric is not None and spec.metric not in task.metrics:
        if len(task.metrics) == 1:
            raise UserError(
                f"task {spec.task} cannot be scored with {spec.metric}, only with {task.metric}: leave out "
                "metric"
            )
        raise unknown(f"metric of task {spec.task}", spec.metric, task.metrics)
    if spec.head == "classification":
        if task.loss == "teacher_forcing":
            raise UserError(f"task {spec.task} has no fixed classes: use head=lm")
        if spec.method == ZERO_SHOT and models.has_head(spec.model) is False:
            raise UserError(
                f"zero-shot with head=classification needs a trained head, and {spec.model} has none: use "
                "head=lm, or a model that a run with head=classification saved"
            )
    elif task.loss == "teacher_forcing" and family is not None and family.masked:
        raise UserError(f"task {spec.task} needs a causal model: {spec.model} is a masked LM")


def _check_demonstrations(spec: "RunSpec") -> None:
    if spec.demonstrations < 0:
        raise UserError(f"demonstrations must not be negative: {spec.demonstrations}")
    if not spec.demonstrations:
        return
    if spec.method != ZERO_SHOT:
        raise UserError(
            f"demonstrations={spec.demonstrations}: {spec.method} trains without them; use --method zero-shot"
        )
    family = models.known_family(spec.model, spec.trust_remote_code)
    if family is not None and family.masked:
        raise UserError(f"demonstrations need a causal model: {spec.model} is a masked LM")
    if spec.long_above is not None:
        raise UserError("long_above cannot be combined with demonstrations, which make every row long")
    if spec.shots is None and spec.train_rows < spec.demonstrations:
        raise UserError(
            f"demonstrations={spec.demonstrations} needs as many training rows: train_rows={spec.train_rows}"
        )


def _check_lengths(spec: "RunSpec") -> None:
    if spec.long_above is not None and spec.long_above.memory is not None:
        raise UserError(
            f"long_above={spec.long_above}: an amount of memory only determines length_threshold; give "
            "long_above in tokens (170) or as a quantile (q0.75)"
        )
    if spec.train_on == "short" and spec.length_threshold is not None:
        raise UserError(
            "train_on=short cannot be combined with length_threshold: with a threshold, zo_batch_size=0 and "
            "alpha=0 already train on the short examples (D1) only"
        )
    if spec.train_on == "short" and spec.long_above is None:
        raise UserError("train_on=short needs long_above, in tokens (170) or as a quantile (q0.75)")


def _check_settings(spec: "RunSpec") -> None:
    # Imported here because building an optimizer needs torch, and reading the fields of a spec does not.
    from torch import nn

    from benchmarks.config.methods import build_optimizer, method_class, methods_where, takes_both_batches

    values, threshold = spec.settings, spec.length_threshold
    for key in BATCH_SIZES:
        if key in values and values[key] < 0:
            raise UserError(f"{key} must not be negative: {values[key]}")
    if threshold is not None and not takes_both_batches(spec.method):
        owners = ", ".join(methods_where(takes_both_batches))
        raise UserError(
            f"{spec.method} does not take length_threshold: it is for methods with two batches ({owners})"
        )
    if threshold is not None and threshold.memory is not None:
        if spec.device == "auto":
            raise UserError(
                f"length_threshold={threshold} needs a single device: with device=auto, set it in tokens"
            )
        if not values["fo_batch_size"]:
            raise UserError(
                f"length_threshold={threshold} needs a first-order batch: set fo_batch_size above 0"
            )
    if spec.method == ZERO_SHOT:
        return
    if spec.schedule != "constant" and not method_class(spec.method).takes_schedule:
        raise UserError(
            f"{spec.method} takes no schedule={spec.schedule}: it averages its iterates instead of lowering "
            "the learning rate; leave out schedule"
        )
    if registry.is_import_path(spec.method):
        import_paths.check(spec)
    else:
        try:
            # Run the checks of the constructor on a minimal model.
            build_optimizer(spec, nn.Linear(1, 1))
        except (TypeError, ValueError) as error:
            raise UserError(f"{spec.method}: {error}") from None
    if "alpha" in values and "zo_batch_size" in values:
        parts = (
            ("zo_batch_size", "zeroth", values["alpha"], 0),
            ("fo_batch_size", "first", 1 - values["alpha"], 1),
        )
        for key, order, weight, alpha in parts:
            if values[key] == 0 and weight != 0:
                raise UserError(
                    f"{key}=0 requires alpha={alpha} (alpha={values['alpha']:g} gives the {order}-order part "
                    "non-zero weight)"
                )
            if values[key] != 0 and weight == 0:
                raise UserError(
                    f"alpha={values['alpha']:g} requires {key}=0, not {values[key]} (the {order}-order part "
                    "has zero weight)"
                )
    for key in BATCH_SIZES:
        if values.get(key) == 0 and "alpha" not in values:
            raise UserError(f"{key} must be at least 1 for {spec.method}")
