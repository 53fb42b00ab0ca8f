"""Tests that AddaxTrainer rejects settings that it cannot honor, before any work, and names the remedy."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import IterableDataset
from transformers import Seq2SeqTrainingArguments, TrainerCallback, TrainingArguments
from transformers.trainer_utils import HPSearchBackend

from addax import Addax
from addax.hf_arguments import REJECTED
from addax.hf_trainer import AddaxTrainer
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from tests.addax.trainers import DATA, LR, arguments, collate, logged, mixed, trainer
from tests.numerics.oracle import opt_model

# An invalid value of every rejected argument. transformers itself rejects deepspeed without the package.
INVALID = {
    "optim": "sgd", "optim_args": "momentum=0.9", "optim_target_modules": ["q_proj"], "adam_beta1": 0.5,
    "adam_beta2": 0.5, "adam_epsilon": 1e-6, "weight_decay": 0.1, "max_grad_norm": 1.0,
    "gradient_accumulation_steps": 2, "fp16": True, "bf16": True, "fp16_full_eval": True,
    "bf16_full_eval": True, "use_liger_kernel": True, "liger_kernel_config": {"rope": True},
    "auto_find_batch_size": True, "torch_empty_cache_steps": 3, "enable_jit_checkpoint": True,
    "fsdp": True, "fsdp_config": {"min_num_params": 1}, "parallelism_config": object(),
}  # fmt: skip


def test_every_rejected_argument_has_an_invalid_value_here():
    assert INVALID.keys() | {"deepspeed"} == REJECTED.keys()


@pytest.mark.parametrize("name", [n for n in INVALID if n in TrainingArguments.__dataclass_fields__])
def test_an_argument_that_would_be_ignored_is_rejected(tmp_path, name):
    """The model is not even touched, and a model that cannot be trained gives the same error."""
    with pytest.raises(ValueError, match=rf"unsupported settings: .*{name} must be .*, not ") as error:
        trainer(tmp_path, model=torch.nn.Identity(), changes={name: INVALID[name]})
    assert "\n" not in str(error.value)


def test_all_rejected_arguments_are_named_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"adam_beta1 .*weight_decay .*max_grad_norm "):
        trainer(tmp_path, changes={"adam_beta1": 0.5, "weight_decay": 0.1, "max_grad_norm": 1.0})


def test_default_arguments_name_max_grad_norm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"max_grad_norm must be 0, not 1\.0"):
        AddaxTrainer(opt_model(torch.float32), train_dataset=DATA)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_MIXED_PRECISION", "fp8"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
        ("ACCELERATE_USE_FSDP", "true"),
        ("ACCELERATE_USE_MEGATRON_LM", "True"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
    ],
)
def test_an_environment_variable_of_accelerate_is_rejected_like_its_argument(
    tmp_path, monkeypatch, name, value
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"unsupported settings: {name} must be .*, not {value} "):
        trainer(tmp_path)


def test_the_variables_of_accelerate_launch_for_one_process_are_accepted(tmp_path, monkeypatch):
    for name, value in {
        "ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_FSDP": "false",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1", "ACCELERATE_USE_CPU": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    trainer(tmp_path)


def test_accumulation_in_the_accelerators_configuration_is_rejected(tmp_path):
    config = {"gradient_accumulation_kwargs": {"num_steps": 4}}
    with pytest.raises(ValueError, match="gradient_accumulation_steps must be 1, not 4"):
        trainer(tmp_path, changes={"accelerator_config": config})


@pytest.mark.parametrize("changes", [{"predict_with_generate": True}, {"sortish_sampler": True}], ids=str)
def test_arguments_of_another_trainer_are_rejected(tmp_path, changes):
    args = Seq2SeqTrainingArguments(str(tmp_path), max_grad_norm=0, use_cpu=True, **changes)
    with pytest.raises(ValueError, match=rf"{next(iter(changes))} must be False \(only Seq2SeqTrainer reads"):
        AddaxTrainer(opt_model(torch.float32), args, train_dataset=DATA)


def test_several_devices_are_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(ValueError, match="one process on one device"):
        trainer(tmp_path)


def test_a_change_of_the_given_arguments_is_not_ignored(tmp_path):
    """The trainer has a copy, so that its record of the method does not reach another trainer."""
    args = arguments(tmp_path)
    ours = AddaxTrainer(opt_model(torch.float32), args, collate, DATA)
    assert args.optim == "adamw_torch_fused"
    ours.args.num_train_epochs = 2
    ours.create_optimizer()
    args.learning_rate = 0.5
    with pytest.raises(
        ValueError, match=r"learning_rate .* was changed .* change trainer\.args\.learning_rate"
    ):
        ours.create_optimizer()


@pytest.mark.parametrize("name", ["weight_decay", "gradient_accumulation_steps", "optim"])
def test_an_argument_that_is_changed_before_training_is_checked(tmp_path, name):
    """A hyperparameter search and a callback change `trainer.args`."""
    ours = trainer(tmp_path)
    setattr(ours.args, name, INVALID[name])
    with pytest.raises(ValueError, match=f"{name} must be"):
        ours.train()


def test_a_trial_sets_learning_rate_batch_size_and_seed(tmp_path, monkeypatch):
    """Learning rates given to the method, the default of K0, and the model follow the trial."""
    monkeypatch.setattr("wandb.run", SimpleNamespace(id="trial"))
    ours = trainer(
        tmp_path, model_init=lambda: opt_model(torch.float32), optimizer_cls_and_kwargs=(Addax, {"lr": 0.5})
    )
    assert ours.args.learning_rate == 0.5
    ours.hp_search_backend, ours.hp_name = HPSearchBackend.WANDB, None
    ours.train(trial={"learning_rate": 0.25, "per_device_train_batch_size": 3, "seed": 11, "max_steps": 2})
    method = ours.method
    assert (logged(ours, "learning_rate")[0], method.seed, method.steps) == (0.25, 11, 2)
    assert (ours.zo_batch_size, ours.args.optim_args["zo_batch_size"]) == (3, 3)
    assert ours.args.optim_args["lr"] == 0.25


class HalveRate(TrainerCallback):
    """Changes the learning rate through the optimizer that callbacks get."""

    def on_step_begin(self, args, state, control, optimizer=None, **_):
        optimizer.param_groups[0]["lr"] = 0.5


def test_a_callback_may_change_the_learning_rate_of_the_method(tmp_path):
    """The step uses this rate, although the schedule sets another one after each step."""
    models = opt_model(torch.float32), opt_model(torch.float32)
    trainer(tmp_path, models[0], {"max_steps": 1}, callbacks=[HalveRate()]).train()
    trainer(tmp_path, models[1], {"max_steps": 1, "learning_rate": 0.5}).train()
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_scheduler_of_the_given_method_sets_its_learning_rates(tmp_path):
    model = opt_model(torch.float32)
    method = MeZO(model, lr=LR)
    schedule = torch.optim.lr_scheduler.LambdaLR(method, lambda k: 1 / (1 + k))
    ours = trainer(tmp_path, model, optimizers=(method, schedule))
    ours.train()
    assert logged(ours, "learning_rate")[:3] == pytest.approx([LR, LR / 2, LR / 3])
    assert method.param_groups[0]["lr"] == pytest.approx(LR / 7)


def foreign_schedule():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1)


class Stream(IterableDataset):
    """A dataset without a length."""

    def __iter__(self):
        return iter(DATA)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (mixed(length_threshold=12), r"D0 is empty.*longer than length_threshold = 12.*lengths 3 to 12"),
        (mixed(length_threshold=2), r"D1 is empty.*of at most length_threshold = 2.*lengths 3 to 12"),
        (mixed(length_threshold=0), "length_threshold must be a positive number of tokens, not 0"),
        (mixed(length_threshold="q1.5"), "length_threshold must be in tokens .*, a quantile .* not 'q1.5'"),
        (mixed(optimizer_cls_and_kwargs=(Addax, {"alpha": 2})), r"alpha must be in \[0, 1\], not 2"),
        (mixed(zo_batch_size=0), "zo_batch_size must be at least 1"),
        (
            mixed(train_dataset=[{"labels": [1], "words": "?"}]),
            r"example 0 .* no input_ids \(labels, words\)",
        ),
        (mixed(train_dataset=Stream()), "Stream.* has no length"),
        (mixed(train_dataset=[]), "train_dataset is empty"),
        ({"train_dataset": [], "optimizer_cls_and_kwargs": (MeZO, {})}, "train_dataset is empty"),
        (mixed(optimizer_cls_and_kwargs=(MeZO, {})), "the method takes only zo_loss"),
        (mixed(optimizer_cls_and_kwargs=(Addax, {"alpha": 0})), "the method takes only fo_loss"),
        ({"optimizer_cls_and_kwargs": (MeZOSVRG, {})}, "MeZOSVRG takes full_loss"),
        ({"optimizer_cls_and_kwargs": (torch.optim.SGD, {"lr": 1})}, r"Method, not SGD: use transformers"),
        ({"optimizer_cls_and_kwargs": ("addax", {})}, r"Method, not 'addax': use transformers"),
        ({"optimizer_cls_and_kwargs": Addax}, r"must be a class and its settings, such as \(Addax, "),
        ({"optimizer_cls_and_kwargs": (Addax, None)}, "must be a dict, not NoneType"),
        (
            {"optimizer_cls_and_kwargs": (Addax, {"aplha": 0.1})},
            r"Addax has no setting 'aplha' \(did you mean 'alpha'\?\): its settings are lr, alpha, ",
        ),
        ({"optimizer_cls_and_kwargs": (IPSGD, {"eps": 0.1})}, "IPSGD has no setting 'eps': its settings are"),
        ({"optimizer_cls_and_kwargs": (Adam, {"model": None})}, "Adam has no setting 'model'"),
        ({"optimizer_cls_and_kwargs": (MeZO, {"lr": -1})}, "lr must be in"),
        ({"optimizers": (None, foreign_schedule())}, r"\(LambdaLR\) belongs to another optimizer"),
        (
            {"optimizers": MeZO(opt_model(torch.float32), 1)},
            r"must be a pair \(method, scheduler\), not MeZO",
        ),
        ({"optimizers": (torch.optim.SGD([torch.zeros(1)]), None)}, "Method, not SGD"),
        ({"optimizers": (MeZO(opt_model(torch.float32), 1), None)}, "built from another model"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:20],
)
def test_unsupported_settings_are_rejected_before_any_work(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, **given)


def test_an_epoch_without_a_batch_is_rejected(tmp_path):
    changes = {"dataloader_drop_last": True, "per_device_train_batch_size": 99}
    with pytest.raises(ValueError, match="an epoch has no batch: 14 training examples, batches of 99"):
        trainer(tmp_path, changes=changes, zo_batch_size=2).train()
