"""AddaxTrainer: a `transformers.Trainer` that takes its steps with a method of this library.

    B1: K1 = per_device_train_batch_size examples from D1 = { x : len(x) <= L_T }, drawn by the Trainer
    B0: K0 = zo_batch_size examples from D0 = { x : len(x) > L_T }, a function of (seed, global step)
    opt.step(zo_loss=lambda: L(B0), fo_loss=lambda: L(B1))

`training_step` takes the step. The Trainer does everything else: the training loop, logging, schedules,
callbacks, evaluation, and checkpoints. Requires transformers and accelerate.
Li et al., arXiv 2410.06441, Algorithm 1.
"""

import copy
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME

from addax import hf_memory, hf_report
from addax.addax import Addax
from addax.assignment import LengthThreshold
from addax.hf_arguments import (
    check_accelerator,
    check_arguments,
    check_method,
    check_not_changed,
    check_optimizers,
    check_pair,
)
from addax.hf_data import split
from addax.optimizer import Loss, Method
from addax.step_stats import StepStats

MAX_CONSECUTIVE_SKIPS = 20


class AddaxTrainer(Trainer):
    """A `transformers.Trainer` that trains with Addax, or with any other `Method` except MeZO-SVRG.

    `train_dataset` is split into D1 (which then is `train_dataset`) and D0 (`zo_dataset`). An epoch is one
    pass over D1. B0 is drawn uniformly from D0, without replacement within a batch. A method with one loss
    uses the Trainer's batches. Addax with alpha = 1 is MeZO, and Addax with alpha = 0 is IP-SGD. Dropout
    follows the model's config.

    The logs contain `projected_grad` (of the last step) and `skipped_steps` (the number of non-finite steps
    so far) instead of `grad_norm`. `total_flos` and `num_input_tokens_seen` count only the Trainer's batches,
    as if each took a forward and a backward pass. `trainer.args` is a copy of the training arguments. Its
    `optim` and `optim_args` name the method and its settings, and so do `training_args.bin`, the
    configuration of W&B and other integrations, `trainer_state.json`, and the model card.

    Args:
        model: the model to train; None with `model_init`.
        args: the training arguments. `addax.hf_arguments.REJECTED` lists those that must keep their defaults.
        *positional: the other positional arguments of `Trainer`.
        length_threshold: L_T in tokens (170), as a quantile of the lengths ("q0.7"), as the largest value at
            which a step fits in an amount of memory ("auto:24GB"; see `addax.hf_memory`), or as a
            `LengthThreshold`. An example's length is the number of its `input_ids` without padding (positions
            where its `attention_mask` is 0). None draws both batches from all examples (Addax-WA).
        zo_batch_size: K0; `per_device_train_batch_size` if None. If D0 is smaller, B0 is all of D0.
        **keywords: keyword arguments of `Trainer`. `optimizer_cls_and_kwargs` is a method's class and its
            settings, `(Addax, {})` by default; the learning rate and the seed default to those of the
            training arguments. Alternatively, `optimizers` may contain a method built from the model.

    Raises:
        ValueError: by the constructor, if a setting is not supported; if there is more than one process or
            GPU; if the optimizer is not a `Method`; if a threshold or K0 is given for a method with one
            batch; if the threshold leaves D0 or D1 empty; or if no threshold fits in an amount of memory, or
            a step cannot be predicted.
        RuntimeError: by `train`, if loss or projected_grad was not finite in 20 consecutive steps.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        *positional: Any,
        length_threshold: LengthThreshold | int | str | None = None,
        zo_batch_size: int | None = None,
        **keywords: Any,
    ) -> None:
        threshold = LengthThreshold.parse(length_threshold)
        if args is not None:
            check_arguments(args)
        check_pair(keywords.get("optimizers", (None, None)))
        super().__init__(model, args, *positional, **keywords)
        if self.optimizer is None and self.optimizer_cls_and_kwargs is None:
            self.optimizer_cls_and_kwargs = (Addax, {})
        check_method(self.optimizer, self.optimizer_cls_and_kwargs)
        check_optimizers(self.model, self.optimizer, self.lr_scheduler)
        # The record of the method must not reach another trainer that gets the same arguments.
        self._given_args, self.args = self.args, copy.copy(self.args)
        self._snapshot = copy.copy(self._given_args)
        self._recorded: tuple[str, hf_report.Settings] | None = None
        self._check_arguments()
        if self.optimizer is None and "lr" in self.optimizer_cls_and_kwargs[1]:
            self.args.learning_rate = self.optimizer_cls_and_kwargs[1]["lr"]
        sample = self._build(None) if self.optimizer is None else self.optimizer
        self._closure_names = sample.next_closures()
        self._zo_batch_size = zo_batch_size
        self.zo_dataset: Dataset | None = None
        self.stats: StepStats | None = None
        self.length_threshold, self.length_threshold_tokens = threshold, None
        if len(self._closure_names) == 1 and (threshold, zo_batch_size) != (None, None):
            raise ValueError(
                f"length_threshold and zo_batch_size require two batches, but the method takes only "
                f"{self._closure_names[0]}: omit them, and set per_device_train_batch_size"
            )
        if self.zo_batch_size < 1:
            raise ValueError(f"zo_batch_size must be at least 1, not {zo_batch_size}")
        if hasattr(self.train_dataset, "__len__") and not len(self.train_dataset):
            raise ValueError("train_dataset is empty")
        if len(self._closure_names) == 2 and self.train_dataset is not None:
            choose = partial(hf_memory.choose_length_threshold, self, threshold)
            parts = split(self.train_dataset, threshold, choose)
            self.zo_dataset, self.train_dataset, self.length_threshold_tokens = parts
        self._record(sample)
        self.add_callback(hf_report.MethodRecord())

    @property
    def zo_batch_size(self) -> int:
        """K0, the number of examples in B0 if D0 is not smaller."""
        return self.args.per_device_train_batch_size if self._zo_batch_size is None else self._zo_batch_size

    def _check_arguments(self) -> None:
        check_arguments(self.args, self._recorded)
        check_accelerator(self.accelerator, self.args)
        check_not_changed(self._given_args, self._snapshot)

    def _build(self, model: nn.Module | None, given: tuple[type[Method], dict] | None = None) -> Method:
        """Build the method, with the learning rate and (unless it has its own) the seed of the arguments.

        Without a model, build it from one parameter, in order to check and read its settings.

        Args:
            model: the model.
            given: the method's class and its settings; None for `optimizer_cls_and_kwargs`.
        """
        method_class, settings = given or self.optimizer_cls_and_kwargs
        settings = {**settings, "lr": self.args.learning_rate}
        if model is None:
            model = nn.Module()
            model.weight = nn.Parameter(torch.zeros(1))
            settings.pop("params", None)
        if "seed" in method_class.arguments():
            settings.setdefault("seed", self.args.seed)
        return method_class(model, **settings)

    def create_optimizer(self, model: nn.Module | None = None) -> AcceleratedOptimizer:
        """Build the method from the model, and return a wrapper whose `step` does nothing."""
        # A hyperparameter search may have changed the arguments.
        self._check_arguments()
        if self.optimizer is None:
            self.optimizer = self._build(self.model if model is None else model)
        if isinstance(self.optimizer, Method):
            self.method = self.optimizer
            # The Trainer may have moved the model since the method was built.
            self.method.follow()
            self.optimizer = _NoStep(self.method)
        self._record(self.method)
        return self.optimizer

    def _record(self, method: Method) -> None:
        """Write the method, its settings, and the sizes of batches and parts into the arguments."""
        parts = {self._closure_names[-1]: (self.args.per_device_train_batch_size, self.train_dataset)}
        if len(self._closure_names) == 2:
            parts = {"zo_loss": (self.zo_batch_size, self.zo_dataset)} | parts
        threshold = (self.length_threshold, self.length_threshold_tokens)
        self._recorded = hf_report.describe(method, parts, threshold)
        self.args.optim, self.args.optim_args = self._recorded
        if not isinstance(rate := self.args.optim_args["lr"], list):
            self.args.learning_rate = rate

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write the Trainer's model card, with the method and its settings."""
        super().create_model_card(*args, **kwargs)
        card = Path(self.args.output_dir, "README.md")
        if self.is_world_process_zero():
            text = hf_report.sentence(self.args.optim, self.args.optim_args)
            card.write_text(hf_report.with_method(card.read_text(encoding="utf-8"), text), encoding="utf-8")

    def get_train_dataloader(self) -> DataLoader:
        """Return the Trainer's loader of D1.

        Raises:
            ValueError: if it has no batch.
        """
        loader = super().get_train_dataloader()
        if hasattr(self.train_dataset, "__len__") and not len(loader):
            raise ValueError(
                f"an epoch has no batch: {len(self.train_dataset)} training examples, batches of "
                f"{self.args.per_device_train_batch_size}, and dataloader_drop_last="
                f"{self.args.dataloader_drop_last}"
            )
        self._collate = self._get_collator_with_removed_columns(self.data_collator)
        return loader

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load the state of the method. Without it, a resumed run would repeat the first directions."""
        if checkpoint is not None and not Path(checkpoint, OPTIMIZER_NAME).is_file():
            raise ValueError(
                f"{checkpoint} has no {OPTIMIZER_NAME} (save_only_model), so the run cannot resume: load its "
                "model, and start a new run"
            )
        given = self.args.optim_args
        super()._load_optimizer_and_scheduler(checkpoint)
        self._record(self.method)
        if changed := hf_report.changes(given, self.args.optim_args):
            hf_report.logger.warning(f"the checkpoint replaces given settings of the method: {changed}")

    def training_step(
        self, model: nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Take one step of the method and return its loss."""
        model.train()
        closures = {self._closure_names[-1]: self._closure(model, inputs, num_items_in_batch)}
        if self.zo_dataset is not None:
            closures["zo_loss"] = self._closure(model, *self._zo_batch())
        self.stats = self.method.step(**closures)
        # On a GPU, reading the counter waits for the device, so it is not read at every step.
        if (
            self.method.steps % MAX_CONSECUTIVE_SKIPS == 0
            and int(self.method.consecutive_skips) >= MAX_CONSECUTIVE_SKIPS
        ):
            raise RuntimeError(
                f"loss or projected_grad was not finite in {MAX_CONSECUTIVE_SKIPS} consecutive steps, up to "
                f"step {self.state.global_step}: lower the learning rate, or check the training examples"
            )
        return self.stats.loss.to(self.args.device)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write the Trainer's logs, with `projected_grad` and `skipped_steps` instead of `grad_norm`."""
        logs.pop("grad_norm", None)
        if "loss" in logs and self.stats is not None:
            logs["skipped_steps"] = int(self.method.skipped_steps)
            if self.stats.projected_grad is not None:
                logs["projected_grad"] = float(self.stats.projected_grad)
        super().log(logs, start_time)

    def _zo_batch(self) -> tuple[Mapping[str, Any], Tensor | int | None]:
        """Return this step's B0 and its number of labels."""
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        size = len(self.zo_dataset)
        drawn = Random(f"{seed} {self.state.global_step} zo").sample(
            range(size), min(self.zo_batch_size, size)
        )
        batch = self._collate([self.zo_dataset[i] for i in drawn])
        (batch,), labels = self.get_batch_samples(iter([batch]), 1, self.args.device)
        return batch, labels

    def _closure(
        self, model: nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Tensor | int | None
    ) -> Loss:
        return self._loss_of(model, self._prepare_inputs(inputs), num_items_in_batch)

    def _loss_of(
        self, model: nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Tensor | int | None
    ) -> Loss:
        """Return the closure of a batch that is on the model's device."""

        def loss() -> Tensor:
            with self.compute_loss_context_manager():
                # Copy the inputs, because compute_loss may pop the labels and may be called twice.
                return self.compute_loss(model, {**inputs}, num_items_in_batch=num_items_in_batch)

        return loss


class _NoStep(AcceleratedOptimizer):
    """The optimizer of the Trainer's loop. It has the method's groups and state, but takes no steps."""

    def step(self, closure: None = None) -> None:
        """Do nothing, because `training_step` has taken the step."""
