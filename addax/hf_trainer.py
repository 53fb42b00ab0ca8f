"""AddaxTrainer: a `transformers.Trainer` that takes its steps with a method of this library.

    B1: K1 = per_device_train_batch_size examples from D1 = { x : len(x) <= L_T }, drawn by the Trainer
    B0: K0 = zo_batch_size examples from D0 = { x : len(x) > L_T }, a function of (seed, global step)
    opt.step(zo_loss=lambda: L(B0), fo_loss=lambda: L(B1))

`training_step` takes the step. The Trainer does everything else: the training loop, logging, schedules,
callbacks, evaluation, and checkpoints. Requires transformers and accelerate.
Li et al., arXiv 2410.06441, Algorithm 1.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from transformers import Trainer

from addax.addax import Addax
from addax.assignment import LengthThreshold, assign
from addax.optimizer import Loss, Method, StepStats

MAX_CONSECUTIVE_SKIPS = 20

# Training arguments with a single valid value, because other values would be ignored or give wrong results:
# name -> (valid value, reason).
_REQUIRED_ARGUMENTS = {
    "gradient_accumulation_steps": (
        1,
        "a step updates in place, so it cannot accumulate batches: use larger batches",
    ),
    "max_grad_norm": (0, "each gradient is dropped once it is complete, so gradients cannot be clipped"),
    "weight_decay": (0, "the methods have no weight decay"),
    "fp16": (False, "training uses the dtype of the model: load it with dtype=torch.float16"),
    "bf16": (False, "training uses the dtype of the model: load it with dtype=torch.bfloat16"),
    "torch_compile": (False, "the hooks that perturb weights would make the model recompile at every step"),
    "auto_find_batch_size": (
        False,
        "a step that runs out of memory may have changed some parameters",
    ),
    "torch_empty_cache_steps": (None, "the cache is not emptied during a step"),
}


class AddaxTrainer(Trainer):
    """A `transformers.Trainer` that trains with Addax, or with any other `Method` except MeZO-SVRG.

    `train_dataset` is split into D1 (which then is `train_dataset`) and D0 (`zo_dataset`). An epoch is one
    pass over D1. B0 is drawn uniformly from D0, without replacement within a batch. A method with one loss
    uses the Trainer's batches. Addax with alpha = 1 is MeZO, and Addax with alpha = 0 is IP-SGD. Dropout
    follows the model's config.

    The logs contain `projected_grad` (of the last step) and `skipped_steps` (the number of non-finite steps
    so far) instead of `grad_norm`. `total_flos` and `num_input_tokens_seen` count only the Trainer's batches,
    as if each took a forward and a backward pass.

    Args:
        *args: positional arguments of `Trainer`.
        length_threshold: L_T in tokens (170), as a quantile of the lengths ("q0.7"), or as a
            `LengthThreshold`. An example's length is the number of its `input_ids` without padding (positions
            where its `attention_mask` is 0). None draws both batches from all examples (Addax-WA).
        zo_batch_size: K0; `per_device_train_batch_size` if None. If D0 is smaller, B0 is all of D0.
        **kwargs: keyword arguments of `Trainer`. `optimizer_cls_and_kwargs` is a method's class and its
            settings, `(Addax, {})` by default; the learning rate and the seed default to those of the
            training arguments. Alternatively, `optimizers` may contain a method built from the model.

    Raises:
        ValueError: by the constructor, if a training argument is not supported; if there is more than one
            process or GPU; if the optimizer is not a `Method`; if a threshold or K0 is given for a method
            with one batch; or if the threshold leaves D0 or D1 empty.
        RuntimeError: by `train`, if loss or projected_grad was not finite in 20 consecutive steps.
    """

    def __init__(
        self,
        *args: Any,
        length_threshold: LengthThreshold | int | str | None = None,
        zo_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        threshold = LengthThreshold.parse(length_threshold)
        super().__init__(*args, **kwargs)
        if self.optimizer is None and self.optimizer_cls_and_kwargs is None:
            self.optimizer_cls_and_kwargs = (Addax, {})
        self._check_arguments()
        self._closure_names = self._step_closures()
        self.zo_batch_size = self.args.per_device_train_batch_size if zo_batch_size is None else zo_batch_size
        self.zo_dataset: Dataset | None = None
        self.stats: StepStats | None = None
        if len(self._closure_names) == 1 and (threshold, zo_batch_size) != (None, None):
            raise ValueError(
                f"length_threshold and zo_batch_size require two batches, but the method takes only "
                f"{self._closure_names[0]}: omit them, and set per_device_train_batch_size"
            )
        if self.zo_batch_size < 1:
            raise ValueError(f"zo_batch_size must be at least 1, not {zo_batch_size}")
        if len(self._closure_names) == 2 and self.train_dataset is not None:
            self._split(threshold)

    def _check_arguments(self) -> None:
        unsupported = [
            f"{name} must be {allowed}, not {getattr(self.args, name)} ({why})"
            for name, (allowed, why) in _REQUIRED_ARGUMENTS.items()
            if getattr(self.args, name) != allowed
        ]
        if unsupported:
            raise ValueError("unsupported TrainingArguments: " + "; ".join(unsupported))
        if (
            self.is_deepspeed_enabled
            or self.is_fsdp_enabled
            or self.args.world_size > 1
            or self.args.n_gpu > 1
        ):
            raise ValueError(
                f"AddaxTrainer runs one process on one device, without DeepSpeed and FSDP, but there are "
                f"{self.args.world_size} processes with {self.args.n_gpu} GPUs each: start it without a "
                "launcher and with one visible GPU (CUDA_VISIBLE_DEVICES=0), or load the model with a "
                "device_map"
            )

    def _step_closures(self) -> tuple[str, ...]:
        """Return the names of the closures that the method takes in each step."""
        method_class = self.optimizer_cls_and_kwargs[0] if self.optimizer is None else type(self.optimizer)
        if not (isinstance(method_class, type) and issubclass(method_class, Method)):
            name = getattr(method_class, "__name__", repr(method_class))
            raise ValueError(
                f"AddaxTrainer requires a subclass of addax.optimizer.Method, not {name}: "
                "use transformers.Trainer"
            )
        if "full_loss" in method_class.closures:
            raise ValueError(
                f"{method_class.__name__} takes full_loss, which the batches of a Trainer cannot provide: "
                "write a training loop"
            )
        if self.optimizer is not None:
            return self.optimizer.next_closures()
        settings = {name: value for name, value in self._settings().items() if name != "params"}
        return method_class(nn.Linear(1, 1), **settings).next_closures()

    def _settings(self) -> dict[str, Any]:
        """Return the method's settings. Learning rate and seed default to those of the training arguments."""
        method_class, settings = self.optimizer_cls_and_kwargs
        defaults = {"lr": self.args.learning_rate}
        if "seed" in method_class.arguments():
            defaults["seed"] = self.args.seed
        return defaults | settings

    def _split(self, length_threshold: LengthThreshold | None) -> None:
        whole = self.train_dataset
        if not hasattr(whole, "__len__"):
            raise ValueError(
                f"train_dataset ({type(whole).__name__}) has no length, but B0 is drawn by index: use a "
                "dataset with __len__ and __getitem__"
            )
        lengths = range(len(whole)) if length_threshold is None else token_lengths(whole)
        tokens = None if length_threshold is None else length_threshold.resolve(lengths)
        parts = assign(lengths, tokens)
        for name, part, side in (("D0", parts.zo, "longer than"), ("D1", parts.fo, "of at most")):
            if not part:
                raise ValueError(
                    f"{name} is empty: no training example is {side} length_threshold = {tokens} "
                    f"tokens (lengths {min(lengths)} to {max(lengths)}): change the threshold"
                )
        self.zo_dataset, self.train_dataset = Subset(whole, parts.zo), Subset(whole, parts.fo)

    def create_optimizer(self, model: nn.Module | None = None) -> AcceleratedOptimizer:
        """Build the method from the model, and return a wrapper whose `step` does nothing."""
        if self.optimizer is None:
            method_class, _ = self.optimizer_cls_and_kwargs
            self.optimizer = method_class(self.model if model is None else model, **self._settings())
        if isinstance(self.optimizer, Method):
            self.method = self.optimizer
            self.optimizer = _NoStep(self.method)
        return self.optimizer

    def get_train_dataloader(self) -> DataLoader:
        """Return the Trainer's loader of D1. Its collator also builds B0."""
        loader = super().get_train_dataloader()
        self._collate = loader.collate_fn
        return loader

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
        inputs = self._prepare_inputs(inputs)

        def loss() -> Tensor:
            with self.compute_loss_context_manager():
                # Copy the inputs, because compute_loss may pop the labels and may be called twice.
                return self.compute_loss(model, {**inputs}, num_items_in_batch=num_items_in_batch)

        return loss


class _NoStep(AcceleratedOptimizer):
    """The optimizer of the Trainer's loop. It has the method's groups and state, but takes no steps."""

    def step(self, closure: None = None) -> None:
        """Do nothing, because `training_step` has taken the step."""


def token_lengths(dataset: Dataset) -> list[int]:
    """Return each example's number of tokens: its `input_ids`, without the positions that its mask excludes.

    Raises:
        ValueError: if an example has no `input_ids`.
    """
    lengths = []
    for i in range(len(dataset)):
        example = dataset[i]
        if "input_ids" not in example:
            raise ValueError(
                f"example {i} of train_dataset has no input_ids ({', '.join(example)}), so its length is "
                "unknown: tokenize the dataset first"
            )
        mask = example.get("attention_mask")
        lengths.append(len(example["input_ids"]) if mask is None else int(sum(mask)))
    return lengths
