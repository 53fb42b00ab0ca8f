"""Effects: values of a run that its other values make meaningless are rejected, not ignored."""

import dataclasses
import inspect
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from benchmarks import models
from benchmarks.config.methods import method_class, settings_of
from benchmarks.config.names import ZERO_SHOT
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

SIXTEEN_BITS = ("float16", "bfloat16")


def check_effects(spec: "RunSpec", chosen: Set[str]) -> None:
    """Check that every value of a spec has an effect.

    Args:
        spec: the spec.
        chosen: the names of the values that the user chose.

    Raises:
        UserError: a value has no effect, and it is not the default, or it was chosen and another value
            contradicts it. The message names both.
    """
    contradicted = {"train_rows", "validation_rows"} if spec.shots is not None else set()
    if spec.settings.get("arithmetic") == "released":
        contradicted.add("rounding")
    defaults = {f.name: f.default for f in dataclasses.fields(spec)} | settings_of(spec.method)
    values = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)} | dict(spec.settings)
    for name, reason in _without_effect(spec):
        default = defaults.get(name, inspect.Parameter.empty)
        if name in values and (name in chosen & contradicted or values[name] != default):
            raise UserError(f"{name}={values[name]} has no effect: {reason}; leave out {name}")


def _without_effect(spec: "RunSpec") -> Iterator[tuple[str, str]]:
    """Yield the fields and settings that have no effect in a spec, with the reason."""
    if spec.shots is not None:
        for name in ("train_rows", "validation_rows"):
            yield name, f"shots={spec.shots} sets the numbers of training and validation rows"
    if spec.head == "classification":
        yield "scoring", "head=classification scores no candidates"
    elif spec.model in models.builtin() and models.builtin()[spec.model].masked:
        yield "scoring", f"{spec.model} is a masked LM, which scores all candidates at once"
    if not models.may_have_code(spec.model):
        yield "trust_remote_code", f"{spec.model} has no code of its own"
    if spec.method == ZERO_SHOT:
        for name in ("schedule", "evaluations", "gradient_checkpointing", "trainable", "train_on"):
            yield name, "zero-shot takes no steps"
        return
    settings = spec.settings
    backward = "fo_loss" in method_class(spec.method).closures and settings["fo_batch_size"] > 0
    if not backward:
        which = spec.method if "fo_batch_size" not in settings else f"{spec.method} with fo_batch_size=0"
        yield "gradient_checkpointing", f"{which} has no backward pass"
    if "zo_batch_size" in settings and not settings["zo_batch_size"]:
        for name in ("eps", "direction", "arithmetic"):
            yield name, f"{spec.method} with zo_batch_size=0 perturbs nothing"
    if settings.get("arithmetic") == "released":
        yield "rounding", "arithmetic=released rounds as the published code does"
    if spec.dtype not in SIXTEEN_BITS:
        yield "rounding", f"dtype={spec.dtype} is written without rounding"
