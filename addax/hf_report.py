"""Reports of AddaxTrainer: name the method that ran, with its settings, wherever the Trainer names AdamW.

`TrainingArguments.optim` and `optim_args` hold the record, in the Trainer's own copy of the arguments. They
reach `training_args.bin` and the configuration of every integration (W&B, TensorBoard, MLflow, ...).
"""

import re
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.utils import logging

from addax.addax import Addax
from addax.assignment import LengthThreshold
from addax.optimizer import Method

logger = logging.get_logger(__name__)
Settings = dict[str, Any]
_PLAIN = (bool, int, float, str)


def describe(
    method: Method,
    parts: Mapping[str, tuple[int, Any]],
    threshold: tuple[LengthThreshold | None, int | None],
) -> tuple[str, Settings]:
    """Return a method's title, such as "Addax (arXiv 2410.06441)", and everything that its run depends on.

    Args:
        method: the method.
        parts: batch size and dataset of each closure.
        threshold: L_T as given, and in tokens; used if there are two closures.
    """
    name, settings = method.label, settings_of(method)
    if len(parts) == 2:
        given, tokens = threshold
        settings |= {"length_threshold": str(given or "none"), "length_threshold_tokens": tokens}
        # Addax without a threshold has a name of its own in the paper.
        name += "-WA" if tokens is None and isinstance(method, Addax) else ""
    for closure, (size, dataset) in parts.items():
        part = closure.removesuffix("_loss")
        settings[f"{part}_batch_size"] = size
        settings[f"{part}_examples"] = len(dataset) if hasattr(dataset, "__len__") else None
    return name if method.paper is None else f"{name} (arXiv {method.paper})", settings


def settings_of(method: Method) -> Settings:
    """Return the settings that a method was built with, as plain values. Groups may have several rates."""
    rates = [float(group.get("initial_lr", group["lr"])) for group in method.param_groups]
    settings: Settings = {"lr": rates[0] if len(rates) == 1 else rates}
    for name in method.arguments():
        if name in ("lr", "params"):
            continue
        # A loaded state changes the groups, but not the attributes.
        value = method.param_groups[0].get(name, getattr(method, name, None))
        if isinstance(value, _PLAIN):
            settings[name] = value
        elif isinstance(value, tuple | list):
            settings[name] = list(value)
    return settings


def changes(before: Settings, after: Settings) -> str:
    """Return "name was old and is new" for every setting that differs."""
    return "; ".join(f"{k} was {v} and is {after.get(k)}" for k, v in before.items() if after.get(k) != v)


def sentence(name: str, settings: Mapping[str, Any]) -> str:
    """Return the method and its settings in one line, for a model card."""
    return ", ".join([name, *(f"{key}={value}" for key, value in settings.items())])


def with_method(card: str, text: str) -> str:
    """Return a model card whose hyperparameter `optimizer` is the given text."""
    entry = re.compile(r"^- optimizer: .*(?:\n(?!- |#|\n).*)*", re.MULTILINE)
    return entry.sub(lambda _: f"- optimizer: {text}", card, count=1)


class MethodRecord(TrainerCallback, ExportableState):
    """Writes the method and its settings into `trainer_state.json`, and compares them when a run resumes.

    Args:
        method: the title of the method.
        settings: its settings, the sizes of both batches, and the numbers of examples.
    """

    def __init__(self, method: str | None = None, settings: Settings | None = None) -> None:
        self.method = method
        self.settings = settings or {}

    def state(self) -> dict[str, Any]:
        """Return the record in the Trainer's format."""
        return {"args": {"method": self.method, "settings": self.settings}, "attributes": {}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take the record from the arguments. Warn if a resumed run has other settings than before."""
        key = type(self).__name__
        before = state.stateful_callbacks.get(key, {}).get("args", {}) if state.global_step else {}
        self.method, self.settings = args.optim, args.optim_args
        if changed := changes(before.get("settings", {}), self.settings):
            logger.warning(f"{self.method} resumes with other settings than before: {changed}")
        state.stateful_callbacks[key] = self.state()
