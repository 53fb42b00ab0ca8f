"""Tests that AddaxTrainer takes the steps of a bare loop and that the Trainer's other features work."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from datasets import Dataset
from torch.nn import functional as F
from transformers import TrainerCallback

from addax import Addax
from addax.hf_trainer import MAX_CONSECUTIVE_SKIPS
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.sgd import SGD
from tests.addax.trainers import (
    CHECKPOINTING,
    DATA,
    K0,
    K1,
    LENGTHS,
    LONG,
    LR,
    SHORT,
    STEPS,
    Recorder,
    bare_loop,
    collate_plain,
    logged,
    mixed,
    model_loss,
    split,
    trainer,
)
from tests.numerics.oracle import bits, lora_model, opt_model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_steps_are_those_of_a_bare_loop(tmp_path, dtype):
    model, recorder = opt_model(dtype), Recorder()
    addax_trainer = trainer(
        tmp_path, model, data_collator=recorder, optimizer_cls_and_kwargs=(Addax, {"alpha": 0.3}), **mixed()
    )
    addax_trainer.train()

    zo_batches, fo_batches = split(recorder.batches)
    assert len(zo_batches) == STEPS
    drawn = [{tuple(row[row != 1].tolist()) for row in b["input_ids"]} for b in zo_batches]
    assert all(len(rows) == K0 for rows in drawn)
    assert len({frozenset(rows) for rows in drawn}) > 1
    assert set.union(*drawn) <= {tuple(e["input_ids"]) for e in LONG}
    chunks = [SHORT[i : i + K1] for i in range(0, len(SHORT), K1)]
    for got, expected in zip(fo_batches, itertools.cycle(chunks), strict=False):
        assert torch.equal(got["input_ids"], collate_plain(expected)["input_ids"])

    bare = opt_model(dtype)
    losses = bare_loop(bare, Addax(bare, lr=LR, alpha=0.3, seed=3), zo_batches, fo_batches)
    assert bits(model) == bits(bare)
    assert bits(model) != bits(opt_model(dtype))
    assert logged(addax_trainer, "loss") == losses


ONE_LOSS = {
    "mezo": (MeZO, {}, "zo"),
    "addax with alpha 1": (Addax, {"alpha": 1}, "zo"),
    "ip-sgd": (IPSGD, {}, "fo"),
    "addax with alpha 0": (Addax, {"alpha": 0.0}, "fo"),
    "sgd": (SGD, {}, "fo"),
    "adam": (Adam, {}, "fo"),
}


@pytest.mark.parametrize("name", ONE_LOSS)
def test_a_method_with_one_loss_takes_the_trainers_batches(tmp_path, name):
    method_class, settings, part = ONE_LOSS[name]
    model, bare = opt_model(torch.float32), opt_model(torch.float32)
    trainer(tmp_path, model, optimizer_cls_and_kwargs=(method_class, settings)).train()
    batches = [collate_plain(DATA[i : i + K1]) for i in range(0, STEPS * K1, K1)]
    opt = method_class(bare, lr=LR, **settings, **({} if method_class is Adam else {"seed": 3}))
    bare_loop(bare, opt, *((batches, []) if part == "zo" else ([], batches)))
    assert bits(model) == bits(bare)
    assert bits(model) != bits(opt_model(torch.float32))


@pytest.mark.medium
@pytest.mark.parametrize("way", ["instance", "model_init", "datasets", "positions", "checkpointed"])
def test_every_way_to_pass_a_method_gives_the_same_steps(tmp_path, way):
    """The method may be an instance, and the Trainer may build the model or get data in other forms."""
    reference = opt_model(torch.float32)
    trainer(tmp_path, reference, **mixed()).train()

    model, given, changes = opt_model(torch.float32), {}, {}
    if way == "instance":
        given["optimizers"] = (Addax(model, lr=LR, seed=3), None)
    if way == "model_init":
        model, given["model_init"] = None, lambda: opt_model(torch.float32)
    if way == "datasets":
        given["train_dataset"] = Dataset.from_list(DATA)
    if way == "positions":
        # The examples are padded already, so their lengths must be taken from their masks.
        padded = [collate_plain([e, DATA[1]]) for e in DATA]
        given["train_dataset"] = [{k: v[0].tolist() for k, v in e.items()} for e in padded]
        given["data_collator"] = lambda rows: cut({k: torch.tensor([r[k] for r in rows]) for k in rows[0]})
    if way == "checkpointed":
        changes[CHECKPOINTING] = True
    addax_trainer = trainer(tmp_path, model, changes, **mixed(**given))
    addax_trainer.train()
    assert bits(addax_trainer.model) == bits(reference)


def cut(batch):
    """Remove the columns that are padding in every row of a batch."""
    width = int(batch["attention_mask"].sum(1).max())
    return {k: v[:, :width] for k, v in batch.items()}


def test_addax_wa_draws_both_batches_from_all_examples(tmp_path):
    recorder = Recorder()
    addax_trainer = trainer(tmp_path, changes={"max_steps": 20}, data_collator=recorder, zo_batch_size=4)
    addax_trainer.train()
    assert len(addax_trainer.zo_dataset) == len(addax_trainer.train_dataset) == len(DATA)
    zo = [b for b in recorder.batches if len(b["input_ids"]) == 4]
    assert len(zo) == 20
    assert {int(n) for b in zo for n in b["attention_mask"].sum(1)} == set(LENGTHS)


def test_the_zeroth_order_batch_has_the_size_of_the_first_order_batch_or_of_its_pool(tmp_path):
    for size, expected in ((None, K1), (99, len(LONG))):
        recorder = Recorder()
        trainer(
            tmp_path, changes={"max_steps": 1}, data_collator=recorder, **mixed(zo_batch_size=size)
        ).train()
        assert [len(b["input_ids"]) for b in split(recorder.batches)[0]] == [expected]


def test_the_draw_depends_on_the_data_seed(tmp_path):
    drawn = []
    for seed in (1, 1, 2):
        recorder = Recorder()
        trainer(tmp_path, changes={"data_seed": seed}, data_collator=recorder, **mixed()).train()
        drawn.append([b["input_ids"].tolist() for b in split(recorder.batches)[0]])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        (torch.float32, mixed(optimizer_cls_and_kwargs=(Addax, {"alpha": 0.3}))),
        (torch.bfloat16, mixed(optimizer_cls_and_kwargs=(Addax, {"alpha": 0.3}))),
        (torch.float32, {"optimizer_cls_and_kwargs": (MeZO, {})}),
        (torch.float32, {"optimizer_cls_and_kwargs": (Adam, {})}),
    ],
    ids=["addax", "addax bfloat16", "mezo", "adam"],
)
def test_a_resumed_run_is_the_same_run(tmp_path, dtype, given):
    """Resume at step 4 of 8, in the middle of an epoch, with dropout and shuffled data."""
    changes = {
        "max_steps": 8, "save_strategy": "steps", "save_steps": 4, "train_sampling_strategy": "random",
        "save_total_limit": 2, "lr_scheduler_type": "cosine", "warmup_steps": 2,
    }  # fmt: skip
    # Like `from_pretrained`, return a model in evaluation mode. The trainer must turn dropout on.
    whole = trainer(tmp_path / "a", opt_model(dtype, dropout=0.3).eval(), changes, **given)
    whole.train()
    no_dropout = trainer(tmp_path / "b", opt_model(dtype).eval(), changes, **given)
    no_dropout.train()
    assert bits(no_dropout.model) != bits(whole.model)

    other = opt_model(dtype, dropout=0.3).eval()
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    resumed = trainer(tmp_path / "c", other, changes, **given)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-4"))
    assert resumed.state.global_step == 8
    assert bits(resumed.model) == bits(whole.model)
    assert logged(resumed, "loss") == logged(whole, "loss")
    assert resumed.method.steps == 8


def test_a_resumed_run_may_start_its_data_over(tmp_path):
    """With `ignore_data_skip`, the loader starts at its first batch, and B0 still follows from the step."""
    saving = {"save_strategy": "steps", "save_steps": 3}
    whole = Recorder()
    trainer(tmp_path, changes=saving, data_collator=whole, **mixed()).train()
    recorder = Recorder()
    resumed = trainer(tmp_path, changes={"ignore_data_skip": True}, data_collator=recorder, **mixed())
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    (zo, fo), (whole_zo, whole_fo) = split(recorder.batches), split(whole.batches)
    assert torch.equal(fo[0]["input_ids"], whole_fo[0]["input_ids"])
    assert [b["input_ids"].tolist() for b in zo] == [b["input_ids"].tolist() for b in whole_zo[3:]]


class Generator(TrainerCallback):
    """Records the state of torch's generator before each step."""

    def __init__(self):
        self.states = []

    def on_step_begin(self, args, state, control, **_):
        self.states.append(torch.get_rng_state())


def test_both_evaluations_of_a_zeroth_order_loss_get_the_same_neftune_noise(tmp_path):
    """The noise is that of NEFTune: uniform in [-1, 1], times alpha / sqrt(tokens x dimensions)."""
    model, bare, generators = opt_model(torch.float32), opt_model(torch.float32), Generator()
    changes = {"neftune_noise_alpha": 3.0, "max_steps": 2}
    ours = trainer(tmp_path, model, changes, optimizer_cls_and_kwargs=(MeZO, {}), callbacks=[generators])
    ours.train()

    def add_noise(module, _inputs, output):
        scale = float(3.0 / torch.tensor(output[0].numel()).sqrt())
        return output + torch.empty_like(output).uniform_(-scale, scale)

    bare.train().get_input_embeddings().register_forward_hook(add_noise)
    opt, losses = MeZO(bare, lr=LR, seed=3), []
    for k, state in enumerate(generators.states):
        opt.param_groups[0]["lr"] = LR * (1 - k / 2)
        batch = collate_plain(DATA[K1 * k : K1 * (k + 1)])
        torch.set_rng_state(state)
        losses.append(float(opt.step(zo_loss=lambda batch=batch: model_loss(bare, batch)).loss))
    assert logged(ours, "loss") == losses
    assert bits(model) == bits(bare)


def test_lora_adapters_train_and_resume(tmp_path):
    """A checkpoint contains only adapters, and a resumed run ends with the bits of the whole run."""
    changes = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = trainer(tmp_path / "a", lora_model(torch.bfloat16), changes, **mixed())
    whole.train()
    names = [n for n, _ in whole.model.named_parameters()]
    start = bits(lora_model(torch.bfloat16))
    moved = {n for n, old, new in zip(names, start, bits(whole.model), strict=True) if old != new}
    assert moved == {n for n in names if "lora_" in n}

    checkpoint = tmp_path / "a" / "checkpoint-2"
    assert (checkpoint / "adapter_model.safetensors").exists()
    assert not (checkpoint / "model.safetensors").exists()
    resumed = trainer(tmp_path / "b", lora_model(torch.bfloat16), changes, **mixed())
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert bits(resumed.model) == bits(whole.model)


def test_logs_hold_schedule_projected_grad_and_skipped_steps(tmp_path):
    addax_trainer = trainer(
        tmp_path,
        changes={"eval_strategy": "steps", "eval_steps": 3, "lr_scheduler_type": "constant_with_warmup",
                 "warmup_steps": 4},
        eval_dataset=SHORT[:3],
        compute_metrics=lambda prediction: {"rows": len(prediction.label_ids)},
        **mixed(),
    )  # fmt: skip
    result = addax_trainer.train()
    losses = logged(addax_trainer, "loss")
    assert len(losses) == STEPS
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert result.training_loss == pytest.approx(sum(losses) / STEPS)
    assert logged(addax_trainer, "learning_rate") == pytest.approx([LR * min(1, k / 4) for k in range(STEPS)])
    assert len(set(logged(addax_trainer, "projected_grad"))) == STEPS
    assert logged(addax_trainer, "skipped_steps") == [0] * STEPS
    assert logged(addax_trainer, "grad_norm") == []
    assert logged(addax_trainer, "eval_rows") == [3, 3]
    with torch.no_grad():
        expected = addax_trainer.model(**collate_plain(SHORT[:3])).loss.item()
    assert logged(addax_trainer, "eval_loss")[-1] == pytest.approx(expected, rel=1e-5)
    assert addax_trainer.predict(SHORT[:3]).metrics["test_loss"] == pytest.approx(expected, rel=1e-5)


def test_training_can_continue_after_it_has_ended(tmp_path):
    """A second `train` counts its steps from 0, and the method continues with new directions."""
    addax_trainer = trainer(tmp_path, **mixed())
    addax_trainer.train()
    between = bits(addax_trainer.model)
    addax_trainer.train()
    assert bits(addax_trainer.model) != between
    assert (addax_trainer.state.global_step, addax_trainer.method.steps) == (STEPS, 2 * STEPS)


def test_each_batch_is_normalized_by_its_number_of_labels(tmp_path):
    """The custom loss divides by this number. It removes the labels from the batch, twice per batch."""

    def summed(logits, labels, number):
        return (
            F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / number
        )

    model, bare, recorder = opt_model(torch.float32), opt_model(torch.float32), Recorder()
    trainer(
        tmp_path, model, data_collator=recorder, optimizer_cls_and_kwargs=(Addax, {"alpha": 0.3}),
        compute_loss_func=lambda outputs, labels, num_items_in_batch: summed(
            outputs.logits, labels, num_items_in_batch
        ),
        **mixed(),
    ).train()  # fmt: skip

    def loss(model, batch):
        rest = {k: v for k, v in batch.items() if k != "labels"}
        return summed(model(**rest).logits, batch["labels"], (batch["labels"] != -100)[:, 1:].sum())

    bare_loop(bare, Addax(bare, lr=LR, alpha=0.3, seed=3), *split(recorder.batches), loss)
    assert bits(model) == bits(bare)


def test_consecutive_non_finite_losses_end_the_run(tmp_path):
    addax_trainer = trainer(
        tmp_path,
        changes={"max_steps": 2 * MAX_CONSECUTIVE_SKIPS},
        compute_loss_func=lambda outputs, labels, num_items_in_batch: outputs.logits.sum() * math.nan,
        **mixed(),
    )
    before = bits(addax_trainer.model)
    with pytest.raises(RuntimeError, match=f"not finite in {MAX_CONSECUTIVE_SKIPS} consecutive steps"):
        addax_trainer.train()
    assert bits(addax_trainer.model) == before
    assert logged(addax_trainer, "skipped_steps")[-1] == MAX_CONSECUTIVE_SKIPS - 1


def test_a_trainer_without_training_data_evaluates(tmp_path):
    addax_trainer = trainer(tmp_path, train_dataset=None, eval_dataset=SHORT, **mixed())
    assert math.isfinite(addax_trainer.evaluate()["eval_loss"])


def test_method_settings_override_training_arguments(tmp_path):
    addax_trainer = trainer(tmp_path, optimizer_cls_and_kwargs=(Addax, {"lr": 0.5, "seed": 7, "eps": 1e-2}))
    addax_trainer.create_optimizer()
    method = addax_trainer.method
    assert (method.param_groups[0]["lr"], method.seed, method.eps) == (0.5, 7, 1e-2)
    plain = trainer(tmp_path)
    plain.create_optimizer()
    assert (plain.method.param_groups[0]["lr"], plain.method.seed) == (LR, 3)


@pytest.mark.process
def test_the_library_imports_without_transformers():
    code = "import sys, addax; print(*sorted({'transformers', 'accelerate', 'peft'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
