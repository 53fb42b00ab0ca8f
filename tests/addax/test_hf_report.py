"""Tests that everything AddaxTrainer writes names the method that ran, with its settings."""

import json

import pytest
import torch
import yaml
from datasets import Dataset
from transformers import Trainer, TrainerCallback

from addax import Addax
from addax.hf_trainer import AddaxTrainer
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.sgd import SGD
from tests.addax.trainers import DATA, K0, K1, LONG, LR, SHORT, arguments, collate, mixed, trainer
from tests.numerics.oracle import opt_model

ZERO_ORDER = {"eps": 1e-3, "direction": "normal", "seed": 3, "rounding": "stochastic"}
D1 = {"fo_batch_size": K1, "fo_examples": len(DATA)}
# name -> (arguments of the trainer, title, settings)
RUNS = {
    "addax": (
        mixed(length_threshold="q0.6", optimizer_cls_and_kwargs=(Addax, {"alpha": 0.3, "lr": 0.5})),
        "Addax (arXiv 2410.06441)",
        ZERO_ORDER | {
            "lr": 0.5, "alpha": 0.3, "arithmetic": "exact", "length_threshold": "q0.6",
            "length_threshold_tokens": 8, "zo_batch_size": K0, "zo_examples": len(LONG), "fo_batch_size": K1,
            "fo_examples": len(SHORT),
        },
    ),
    "addax-wa": (
        {"zo_batch_size": 4},
        "Addax-WA (arXiv 2410.06441)",
        ZERO_ORDER | D1 | {
            "lr": LR, "alpha": 1e-3, "arithmetic": "exact", "length_threshold": "none",
            "length_threshold_tokens": None, "zo_batch_size": 4, "zo_examples": len(DATA),
        },
    ),
    "mezo": (
        {"optimizer_cls_and_kwargs": (MeZO, {"eps": 0.01, "seed": 9, "rounding": "nearest"})},
        "MeZO (arXiv 2305.17333)",
        {
            "lr": LR, "eps": 0.01, "direction": "normal", "seed": 9, "rounding": "nearest",
            "arithmetic": "exact",
            "zo_batch_size": K1, "zo_examples": len(DATA),
        },
    ),
    "ip-sgd": (
        {"optimizer_cls_and_kwargs": (IPSGD, {})},
        "IP-SGD (arXiv 2306.09782)",
        D1 | {"lr": LR, "seed": 3, "rounding": "stochastic"},
    ),
    "sgd": (
        {"optimizer_cls_and_kwargs": (SGD, {})}, "SGD", D1 | {"lr": LR, "seed": 3, "rounding": "stochastic"},
    ),
    "adam": (
        {"optimizer_cls_and_kwargs": (Adam, {"betas": (0.8, 0.9)})},
        "Adam (arXiv 1412.6980)",
        D1 | {"lr": LR, "betas": [0.8, 0.9]},
    ),
}  # fmt: skip
SAVING = {"max_steps": 2, "save_strategy": "steps", "save_steps": 2}


@pytest.mark.parametrize("run", RUNS)
def test_arguments_state_and_model_card_name_the_method(tmp_path, run):
    given, title, settings = RUNS[run]
    ours = trainer(tmp_path, changes=SAVING, **given)
    ours.train()
    ours.save_model()
    ours.save_state()
    ours.create_model_card()

    for folder in (tmp_path, tmp_path / "checkpoint-2"):
        args = torch.load(folder / "training_args.bin", weights_only=False)
        assert (args.optim, args.optim_args, args.learning_rate) == (title, settings, settings["lr"])
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        record = state["stateful_callbacks"]["MethodRecord"]["args"]
        assert record == {"method": title, "settings": settings}

    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    lines = card.splitlines()
    (line,) = [line for line in lines if line.startswith("- optimizer:")]
    assert line.startswith(f"- optimizer: {title}, lr={settings['lr']}, ")
    assert all(f", {name}={value}" in line for name, value in settings.items())
    assert f"- learning_rate: {settings['lr']}" in lines
    assert "adamw" not in card.lower()
    assert "betas=(0.9" not in card
    assert yaml.safe_load(card.split("---")[1])["tags"] == ["generated_from_trainer"]


def test_a_model_card_keeps_its_other_entries_and_results(tmp_path):
    """The card differs from that of a plain Trainer in the line of the optimizer only."""
    cards = []
    for trainer_class, method in (
        (Trainer, (torch.optim.SGD, {"lr": LR})),
        (AddaxTrainer, (MeZO, {"lr": LR})),
    ):
        changes = {"eval_strategy": "epoch", "warmup_steps": 1, "learning_rate": LR}
        made = trainer_class(
            opt_model(torch.float32), arguments(tmp_path, **changes), collate,
            Dataset.from_list(DATA), Dataset.from_list(DATA), optimizer_cls_and_kwargs=method,
        )  # fmt: skip
        made.train()
        made.create_model_card(tags=["mine"], language="en", model_name="a - optimizer: b")
        cards.append((tmp_path / "README.md").read_text(encoding="utf-8").splitlines())
        (tmp_path / "README.md").unlink()
    print(*cards[1], sep="\n")
    pairs = zip(*cards, strict=True)
    different = [(a, b) for a, b in pairs if a != b and not a.startswith(("|", "- Loss"))]
    assert [b.startswith("- optimizer: MeZO (arXiv 2305.17333), lr=") for _, b in different] == [True]


def test_saving_before_training_names_the_method(tmp_path):
    ours = trainer(tmp_path, **mixed())
    ours.save_model()
    args = torch.load(tmp_path / "training_args.bin", weights_only=False)
    assert args.optim == "Addax (arXiv 2410.06441)"
    assert args.optim_args["alpha"] == 1e-3


@pytest.mark.medium
def test_the_configuration_of_wandb_names_the_method(tmp_path, monkeypatch):
    """The settings are numbers under `optim_args`, so that runs can be grouped and filtered by them."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    given, title, settings = RUNS["addax"]
    try:
        ours = trainer(tmp_path, changes={"max_steps": 1, "report_to": "wandb"}, **given)
        ours.train()
        config = dict(wandb.config)
    finally:
        wandb.finish()
    assert (config["optim"], config["learning_rate"]) == (title, settings["lr"])
    assert dict(config["optim_args"]) == settings
    assert config["vocab_size"] == 11


def test_a_ready_made_method_is_reported_as_built(tmp_path):
    """Also its learning rate, which the training arguments do not know, and the rates of its groups."""
    model = opt_model(torch.float32)
    first, *others = model.parameters()
    groups = [{"params": [first], "lr": 0.25}, {"params": others, "lr": 0.5}]
    ours = trainer(tmp_path, model, optimizers=(MeZO(model, lr=1.0, eps=0.1, params=groups), None))
    ours.train()
    assert ours.args.optim_args["lr"] == [0.25, 0.5]
    assert (ours.args.optim_args["eps"], ours.args.optim_args["seed"]) == (0.1, 0)


def test_the_callers_arguments_stay_as_they_are(tmp_path):
    """So they can be passed to a second trainer of any class."""
    args = arguments(tmp_path)
    before = args.to_dict()
    AddaxTrainer(opt_model(torch.float32), args, collate, DATA, **mixed()).train()
    assert args.to_dict() == before
    AddaxTrainer(opt_model(torch.float32), args, collate, DATA, optimizer_cls_and_kwargs=(MeZO, {})).train()
    Trainer(opt_model(torch.float32), args, collate, DATA).train()


class Count(TrainerCallback):
    """Any other callback."""


@pytest.mark.parametrize("restore", [False, True])
def test_a_run_that_resumes_with_other_settings_says_so_and_records_them(tmp_path, caplog, restore):
    """Seed and learning rate come from the checkpoint, because directions and schedule depend on them."""
    first = (Addax, {"alpha": 0.3, "seed": 1})
    trainer(tmp_path / "a", changes=SAVING, optimizer_cls_and_kwargs=first, **mixed()).train()
    changes = SAVING | {"max_steps": 4, "restore_callback_states_from_checkpoint": restore}
    second = (Addax, {"alpha": 0.1, "seed": 2, "lr": 0.5})
    resumed = trainer(tmp_path / "b", changes=changes, optimizer_cls_and_kwargs=second, **mixed())
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    messages = [record.getMessage() for record in caplog.records if " was " in record.getMessage()]
    assert messages == [
        "the checkpoint replaces given settings of the method: lr was 0.5 and is 0.01; seed was 2 and is 1",
        "Addax (arXiv 2410.06441) resumes with other settings than before: alpha was 0.3 and is 0.1",
    ]
    assert resumed.method.seed == 1
    state = json.loads((tmp_path / "b" / "checkpoint-4" / "trainer_state.json").read_text(encoding="utf-8"))
    settings = state["stateful_callbacks"]["MethodRecord"]["args"]["settings"]
    assert (settings["alpha"], settings["seed"]) == (0.1, 1)


def test_a_checkpoint_without_the_state_of_the_method_is_rejected(tmp_path):
    """Otherwise the directions would start over, and so would the schedule."""
    trainer(tmp_path, changes=SAVING | {"save_only_model": True}).train()
    resumed = trainer(tmp_path, changes=SAVING | {"max_steps": 4})
    with pytest.raises(ValueError, match=r"checkpoint-2 has no optimizer.pt .*: load its model, and start"):
        resumed.train(resume_from_checkpoint=True)
