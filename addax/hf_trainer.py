"""AddaxTrainer: `transformers.Trainer` that takes the steps of a method of this library.

    B1 of K1 = per_device_train_batch_size from D1 = { x : len(x) <= L_T },  as the Trainer draws it
    B0 of K0 = zo_batch_size               from D0 = { x : len(x) >  L_T },  a function of (seed, global step)
    opt.step(zo_loss=lambda: L(B0), fo_loss=lambda: L(B1))

The step is taken in the hook `training_step`, so the training loop, logging, schedules, callbacks,
evaluation, and checkpoints are the Trainer's. Requires transformers and accelerate.
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

# Training arguments that would be ignored or be wrong: the only valid value of each, and why.
_REFUSED = {
    "gradient_accumulation_steps": (
        1,
        "a step updates in place, so batches cannot be added up: enlarge them",
    ),
    "max_grad_norm": (0, "gradients are gone once they are complete, so they cannot be clipped"),
    "weight_decay": (0, "the methods have none"),
    "fp16": (False, "the model's own dtype is used: load it with dtype=torch.float16"),
    "bf16": (False, "the model's own dtype is used: load it with dtype=torch.bfloat16"),
    "torch_compile": (False, "the hooks that perturb weights make a compiled model recompile each time"),
    "auto_find_batch_size": (False, "running out of memory within a step leaves a part of it done"),
    "torch_empty_cache_steps": (None, "the cache is not emptied within a step"),
}


class AddaxTrainer(Trainer):
    """`transformers.Trainer` with Addax, or with any method of `addax.optimizer`'s contract except MeZO-SVRG.

    `train_dataset` becomes D1 and `zo_dataset` D0. An epoch is one pass over D1; B0 is drawn uniformly from
    D0, without replacement within a batch. A method with one loss takes the Trainer's batches: Addax with
    alpha = 1 is MeZO, with alpha = 0 IP-SGD. Dropout follows the model's config.

    Logs gain `projected_grad` (of the last step) and `skipped_steps` (not finite, so far) and lose
    `grad_norm`. `total_flos` and `num_input_tokens_seen` count the Trainer's batches, as forward and backward
    passes.

    Args:
        *args, **kwargs: as for `Trainer`. `optimizer_cls_and_kwargs` is a method's class and its settings,
            `(Addax, {})` by default; learning rate and seed default to those of the training arguments.
            `optimizers` may contain a method built from the model instead.
        length_threshold: L_T in tokens (170), as a quantile of the lengths ("q0.7"), or as a
            `LengthThreshold`; compared with an example's `input_ids` without padding (positions where its
            `attention_mask` is 0). None draws both batches from all examples (Addax-WA).
        zo_batch_size: K0; `per_device_train_batch_size` if None. A smaller D0 is taken whole.

    Raises:
        ValueError: from the constructor, before any work: an unsupported training argument, more than one
            process or GPU, another kind of optimizer, a threshold or K0 for a method with one batch, or a
            threshold that leaves D0 or D1 empty.
        RuntimeError: from `train`: loss or projected_grad was not finite in 20 consecutive steps.
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
        self._refuse()
        self.wanted = self._wanted()
        self.zo_batch_size = self.args.per_device_train_batch_size if zo_batch_size is None else zo_batch_size
        self.zo_dataset: Dataset | None = None
        self.stats: StepStats | None = None
        if len(self.wanted) == 1 and (threshold, zo_batch_size) != (None, None):
            raise ValueError(
                f"length_threshold and zo_batch_size need two batches, and only {self.wanted[0]} is wanted: "
                "drop them, and set the batch's size as per_device_train_batch_size"
            )
        if self.zo_batch_size < 1:
            raise ValueError(f"zo_batch_size must be at least 1, not {zo_batch_size}")
        if len(self.wanted) == 2 and self.train_dataset is not None:
            self._split(threshold)

    def _refuse(self) -> None:
        wrong = [
            f"{name} must be {allowed}, not {getattr(self.args, name)} ({why})"
            for name, (allowed, why) in _REFUSED.items()
            if getattr(self.args, name) != allowed
        ]
        if wrong:
            raise ValueError("TrainingArguments that AddaxTrainer does not support: " + "; ".join(wrong))
        if (
            self.is_deepspeed_enabled
            or self.is_fsdp_enabled
            or self.args.world_size > 1
            or self.args.n_gpu > 1
        ):
            raise ValueError(
                f"AddaxTrainer runs one process on one device, not {self.args.world_size} processes on "
                f"{self.args.n_gpu} GPUs each, DeepSpeed or FSDP: start it without a launcher and with one "
                "visible GPU (CUDA_VISIBLE_DEVICES=0), or load the model with a device_map"
            )

    def _wanted(self) -> tuple[str, ...]:
        """Return the closures that the method is given in each step."""
        made = self.optimizer_cls_and_kwargs[0] if self.optimizer is None else type(self.optimizer)
        if not (isinstance(made, type) and issubclass(made, Method)):
            name = getattr(made, "__name__", repr(made))
            raise ValueError(
                f"AddaxTrainer steps subclasses of addax.optimizer.Method, not {name}: "
                "use transformers.Trainer"
            )
        if "full_loss" in made.closures:
            raise ValueError(
                f"{made.__name__} wants full_loss, which no batch of a Trainer is: use a loop of your own"
            )
        if self.optimizer is not None:
            return self.optimizer.next_closures()
        settings = {name: value for name, value in self._settings().items() if name != "params"}
        return made(nn.Linear(1, 1), **settings).next_closures()

    def _settings(self) -> dict[str, Any]:
        """Return the method's settings, completed with the training arguments' learning rate and seed."""
        made, settings = self.optimizer_cls_and_kwargs
        given = {"lr": self.args.learning_rate}
        if "seed" in made.arguments():
            given["seed"] = self.args.seed
        return given | settings

    def _split(self, length_threshold: LengthThreshold | None) -> None:
        whole = self.train_dataset
        if not hasattr(whole, "__len__"):
            raise ValueError(
                f"train_dataset ({type(whole).__name__}) has no length: B0 is drawn by index, which needs one"
            )
        lengths = range(len(whole)) if length_threshold is None else token_lengths(whole)
        tokens = None if length_threshold is None else length_threshold.resolve(lengths)
        parts = assign(lengths, tokens)
        for name, part, side in (("D0", parts.zo, "longer than"), ("D1", parts.fo, "of at most")):
            if not part:
                raise ValueError(
                    f"{name} is empty: no training example is {side} length_threshold = {tokens} "
                    f"tokens (lengths {min(lengths)} to {max(lengths)}): move the threshold"
                )
        self.zo_dataset, self.train_dataset = Subset(whole, parts.zo), Subset(whole, parts.fo)

    def create_optimizer(self, model: nn.Module | None = None) -> AcceleratedOptimizer:
        """Build the method from the model; return an optimizer whose `step` does nothing."""
        if self.optimizer is None:
            made, _ = self.optimizer_cls_and_kwargs
            self.optimizer = made(self.model if model is None else model, **self._settings())
        if isinstance(self.optimizer, Method):
            self.method = self.optimizer
            self.optimizer = _Stepped(self.method)
        return self.optimizer

    def get_train_dataloader(self) -> DataLoader:
        """Return the Trainer's loader of D1; its collator also builds B0."""
        loader = super().get_train_dataloader()
        self._collate = loader.collate_fn
        return loader

    def training_step(
        self, model: nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Take one step of the method and return its loss."""
        model.train()
        closures = {self.wanted[-1]: self._closure(model, inputs, num_items_in_batch)}
        if self.zo_dataset is not None:
            closures["zo_loss"] = self._closure(model, *self._zo_batch())
        self.stats = self.method.step(**closures)
        # On a GPU, reading the counter waits for the device, so do not do it at every step.
        if (
            self.method.steps % MAX_CONSECUTIVE_SKIPS == 0
            and int(self.method.consecutive_skips) >= MAX_CONSECUTIVE_SKIPS
        ):
            raise RuntimeError(
                f"loss or projected_grad not finite in {MAX_CONSECUTIVE_SKIPS} steps in a row, up to step "
                f"{self.state.global_step}: lower the learning rate, or look for bad examples"
            )
        return self.stats.loss.to(self.args.device)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the Trainer logs, with `projected_grad` and `skipped_steps` in place of `grad_norm`."""
        logs.pop("grad_norm", None)
        if "loss" in logs and self.stats is not None:
            logs["skipped_steps"] = int(self.method.skipped_steps)
            if self.stats.projected_grad is not None:
                logs["projected_grad"] = float(self.stats.projected_grad)
        super().log(logs, start_time)

    def _zo_batch(self) -> tuple[Mapping[str, Any], Tensor | int | None]:
        """Return B0 of this step and its number of labels."""
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        numbers = range(len(self.zo_dataset))
        draw = Random(f"{seed} {self.state.global_step} zo").sample(
            numbers, min(self.zo_batch_size, len(numbers))
        )
        batch = self._collate([self.zo_dataset[i] for i in draw])
        (batch,), labels = self.get_batch_samples(iter([batch]), 1, self.args.device)
        return batch, labels

    def _closure(
        self, model: nn.Module, inputs: Mapping[str, Any], num_items_in_batch: Tensor | int | None
    ) -> Loss:
        inputs = self._prepare_inputs(inputs)

        def loss() -> Tensor:
            with self.compute_loss_context_manager():
                # Copy the inputs: compute_loss may pop labels, and it is called twice.
                return self.compute_loss(model, {**inputs}, num_items_in_batch=num_items_in_batch)

        return loss


class _Stepped(AcceleratedOptimizer):
    """The optimizer that the Trainer's loop sees: the method's groups and state, without a step."""

    def step(self, closure: None = None) -> None:
        """Do nothing: the step was taken in `training_step`."""


def token_lengths(dataset: Dataset) -> list[int]:
    """Return the number of tokens of each example: its `input_ids` without those that its mask hides.

    Raises:
        ValueError: an example without `input_ids`.
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
