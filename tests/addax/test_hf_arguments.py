"""Tests that AddaxTrainer honors every training argument as a plain Trainer does, or rejects it."""

from dataclasses import dataclass, fields

import pytest
import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import SchedulerType

from addax import Addax
from addax.hf_arguments import REJECTED
from addax.hf_trainer import AddaxTrainer
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from tests.addax.trainers import LR, SHORT, Recorder, arguments, collate_plain
from tests.numerics.oracle import opt_model

NAMES = [f.name for f in fields(TrainingArguments)]
SAVING = {"save_strategy": "steps", "save_steps": 2}
EVALUATING = {"eval_strategy": "steps", "eval_steps": 2}
BEST = SAVING | EVALUATING | {"load_best_model_at_end": True}

# Runs in which arguments that change a run have a value other than the default.
HONORED = {
    "batches": {"per_device_train_batch_size": 3, "max_steps": 5, "learning_rate": 0.1, "output_dir": None},
    "epochs": {
        "max_steps": -1, "num_train_epochs": 2, "dataloader_drop_last": True, "logging_strategy": "epoch",
        "eval_strategy": "epoch", "save_strategy": "epoch", "save_only_model": True,
    },
    "schedule": {
        "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-3}, "warmup_steps": 2,
    },
    "loss": {"label_smoothing_factor": 0.3, "average_tokens_across_devices": False},
    "noise": {"neftune_noise_alpha": 5.0},
    "checkpointing": {
        "activation_checkpointing": True, "activation_checkpointing_kwargs": {"every_n_layers": 2},
        "use_cache": True,
    },
    "reentrant checkpointing": {
        "gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True},
    },
    "logging": {
        "logging_steps": 4, "logging_first_step": True, "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "all",
    },
    "evaluation": EVALUATING | {
        "eval_delay": 3, "per_device_eval_batch_size": 1, "eval_on_start": True,
        "eval_do_concat_batches": False, "eval_use_gather_object": True, "eval_accumulation_steps": 1,
        "include_for_metrics": ["loss", "inputs"], "batch_eval_metrics": True,
        "label_names": ["labels", "attention_mask"],
    },
    "evaluation of losses": EVALUATING | {"prediction_loss_only": True, "debug": "underflow_overflow"},
    "saving": BEST | {
        "save_total_limit": 1, "metric_for_best_model": "loss", "greater_is_better": True,
    },
    "seeds": {
        "seed": 9, "data_seed": 8, "train_sampling_strategy": "random",
        "accelerator_config": {"use_seedable_sampler": True}, "full_determinism": True, "tf32": False,
    },
    "compiled": {
        "torch_compile": True, "torch_compile_backend": "aot_eager", "torch_compile_mode": "default",
    },
    "length groups": {
        "train_sampling_strategy": "group_by_length", "length_column_name": "size",
        "accelerator_config": {"dispatch_batches": True, "split_batches": True},
    },
    "workers": {
        "dataloader_num_workers": 1, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 1,
        "dataloader_multiprocessing_context": "fork", "dataloader_in_order": False,
        "train_sampling_strategy": "batch_rebalance", "remove_unused_columns": False, "disable_tqdm": True,
    },
}  # fmt: skip
HONORED_NAMES = set().union(*HONORED.values())
#: Arguments that a step, its data, and its checkpoints do not depend on.
ELSEWHERE = {
    # Where reports go, and under which name. `test_hf_report.py` covers what they contain.
    "report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id",
    "log_level", "log_level_replica", "push_to_hub", "hub_token", "hub_private_repo", "hub_model_id",
    "hub_strategy", "hub_always_push", "hub_revision",
    # Only scripts read these.
    "do_train", "do_eval", "do_predict", "resume_from_checkpoint",
    # Every test uses it; and a measurement of memory, which takes seconds.
    "use_cpu", "skip_memory_metrics",
    # Resuming: `test_hf_trainer.py`.
    "ignore_data_skip", "restore_callback_states_from_checkpoint",
    # Without effect in a single process, or with memory that a GPU cannot read faster.
    "log_on_each_node", "save_on_each_node", "dataloader_pin_memory", "local_rank", "ddp_backend",
    "ddp_timeout", "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers",
    "ddp_static_graph",
}  # fmt: skip


def test_every_training_argument_is_honored_rejected_or_elsewhere():
    """A new version of transformers must fail here if it has an argument that nobody has decided on."""
    assert not set(NAMES) - HONORED_NAMES - set(REJECTED) - ELSEWHERE
    assert not REJECTED.keys() & (HONORED_NAMES | ELSEWHERE)
    assert not HONORED_NAMES & ELSEWHERE


class Counting:
    """Metrics that are the same in both trainers: the number of rows seen so far, and what was passed."""

    def __init__(self):
        self.rows = 0

    def __call__(self, prediction, compute_result=True):
        self.rows += len(prediction.label_ids)
        return {"rows": self.rows, "inputs": float(prediction.inputs is not None)}


@dataclass
class Outcome:
    """What the training arguments determine."""

    logs: list
    files: list
    batches: list
    weights: torch.Tensor
    progress: tuple


def outcome(trainer_class, folder, changes, optimizer):
    """Train on the same data, and return everything that the training arguments determine."""
    recorder = Recorder(lambda rows: collate_plain(rows))
    model = opt_model(torch.float32)
    rows = Dataset.from_list([{**e, "size": -len(e["input_ids"])} for e in SHORT])
    if changes.get("remove_unused_columns", True):
        rows = rows.add_column("extra", list(range(len(rows))))
    else:
        rows = rows.remove_columns(["source", "size"])
    made = trainer_class(
        model=model,
        args=arguments(folder, **changes),
        train_dataset=rows,
        eval_dataset=SHORT[:3],
        data_collator=recorder,
        compute_metrics=None if changes.get("prediction_loss_only") else Counting(),
        optimizer_cls_and_kwargs=optimizer,
    )
    made.train()
    ignored = ("grad_norm", "skipped_steps", "runtime", "per_second", "mem", "flos", "preparation_time")
    logs = [
        {k: v for k, v in entry.items() if not any(word in k for word in ignored)}
        for entry in made.state.log_history
    ]
    files = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    batches = [batch["input_ids"].tolist() for batch in recorder.batches]
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    progress = (made.state.epoch, made.state.global_step, made.state.best_global_step)
    return Outcome(logs, files, batches, weights, progress)


@pytest.fixture
def nondeterministic():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.medium
@pytest.mark.parametrize("run", HONORED)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_honored_argument_has_the_effect_that_it_has_in_a_plain_trainer(tmp_path, run, nondeterministic):
    """In float32, IP-SGD takes the steps of SGD, so both trainers must log, save, and compute the same."""
    changes = {name: value for name, value in HONORED[run].items() if name in NAMES and value is not None}
    sgd = (torch.optim.SGD, {"lr": changes.get("learning_rate", LR)})
    plain = outcome(Trainer, tmp_path / "plain", changes, sgd)
    ours = outcome(AddaxTrainer, tmp_path / "ours", changes, (IPSGD, {}))
    assert [entry.keys() for entry in ours.logs] == [entry.keys() for entry in plain.logs]
    for got, expected in zip(ours.logs, plain.logs, strict=True):
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-7)
    torch.testing.assert_close(ours.weights, plain.weights, rtol=1e-4, atol=1e-6)
    assert (ours.files, ours.batches, ours.progress) == (plain.files, plain.batches, plain.progress)


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_compiled_model_takes_the_steps_of_an_eager_one(tmp_path):
    compiled = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    torch._dynamo.reset()
    runs = [
        outcome(AddaxTrainer, tmp_path / str(len(changes)), changes, (Addax, {"lr": 0.05, "alpha": 0.5}))
        for changes in ({}, compiled)
    ]
    torch.testing.assert_close(runs[1].weights, runs[0].weights, rtol=1e-3, atol=1e-5)
    slopes = [[entry["projected_grad"] for entry in run.logs if "loss" in entry] for run in runs]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-2)
    assert any(slopes[0])


SCHEDULES = {
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "cosine_warmup_with_min_lr": {"min_lr": 1e-3},
    "warmup_stable_decay": {"num_decay_steps": 2},
    "reduce_lr_on_plateau": {"patience": 0, "factor": 0.5},
    "greedy": {"patience": 0, "min_lr": 1e-4},
}


@pytest.mark.medium
@pytest.mark.slow_except("linear", "reduce_lr_on_plateau", "greedy")
@pytest.mark.parametrize("kind", [kind.value for kind in SchedulerType])
def test_every_schedule_gives_the_learning_rates_of_a_plain_trainer(tmp_path, kind):
    """The metric grows with every evaluation, so schedules that follow it change the learning rate."""
    changes = EVALUATING | {
        "eval_steps": 1, "lr_scheduler_type": kind, "lr_scheduler_kwargs": SCHEDULES.get(kind),
        "metric_for_best_model": "rows", "greater_is_better": False, "warmup_steps": 0,
    }  # fmt: skip
    rates = []
    for trainer_class, method in ((Trainer, (torch.optim.SGD, {"lr": LR})), (AddaxTrainer, (MeZO, {}))):
        logs = outcome(trainer_class, tmp_path, changes, method).logs
        rates.append([entry["learning_rate"] for entry in logs if "loss" in entry])
    assert rates[0] == rates[1]
    assert kind == "constant" or len(set(rates[0])) > 1 or "warmup" in kind or kind == "inverse_sqrt"
