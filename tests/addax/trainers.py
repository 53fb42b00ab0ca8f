"""Data, models, and trainers that the tests of AddaxTrainer share."""

import torch
from transformers import TrainingArguments

from addax.hf_trainer import AddaxTrainer
from tests.numerics.oracle import generator, opt_model

STEPS, K0, K1, THRESHOLD = 6, 3, 2, 8
LR = 1e-2
# The argument has the second name in older versions of transformers.
NAMES = ("activation_checkpointing", "gradient_checkpointing")
CHECKPOINTING = next(name for name in NAMES if name in TrainingArguments.__dataclass_fields__)


def example(number, length):
    ids = torch.randint(3, 11, (length,), generator=generator(number)).tolist()
    return {"input_ids": ids, "labels": [-100, *ids[1:]], "source": "a column that the model does not take"}


LENGTHS = [5, 12, 8, 9, 3, 10, 4, 7, 11, 6, 3, 9, 5, 4]
DATA = [example(i, n) for i, n in enumerate(LENGTHS)]
LONG = [e for e, n in zip(DATA, LENGTHS, strict=True) if n > THRESHOLD]
SHORT = [e for e, n in zip(DATA, LENGTHS, strict=True) if n <= THRESHOLD]


def collate(features):
    """Pad on the right, and check that the features have only the keys that the model takes."""
    assert all(set(f) == {"input_ids", "labels"} for f in features)
    width = max(len(f["input_ids"]) for f in features)
    short = [width - len(f["input_ids"]) for f in features]
    return {
        "input_ids": torch.tensor([f["input_ids"] + [1] * n for f, n in zip(features, short, strict=True)]),
        "labels": torch.tensor([f["labels"] + [-100] * n for f, n in zip(features, short, strict=True)]),
        "attention_mask": torch.tensor([[1] * (width - n) + [0] * n for n in short]),
    }


class Recorder:
    """A collator that records its batches in order."""

    def __init__(self, collate=collate):
        self.collate = collate
        self.batches = []

    def __call__(self, features):
        self.batches.append(self.collate(features))
        return self.batches[-1]


def arguments(folder, **changes):
    given = {
        "max_steps": STEPS, "learning_rate": LR, "per_device_train_batch_size": K1, "max_grad_norm": 0,
        "seed": 3, "logging_steps": 1, "save_strategy": "no", "train_sampling_strategy": "sequential",
        "use_cpu": True, "dataloader_pin_memory": False, "disable_tqdm": True,
    }  # fmt: skip
    return TrainingArguments(str(folder), **(given | changes))


def trainer(folder, model=None, changes=None, **given):
    given = {"train_dataset": DATA, "data_collator": collate} | given
    model = opt_model(torch.float32) if model is None and "model_init" not in given else model
    return AddaxTrainer(model=model, args=arguments(folder, **(changes or {})), **given)


def mixed(**changes):
    return {"length_threshold": THRESHOLD, "zo_batch_size": K0} | changes


def logged(addax_trainer, key):
    return [entry[key] for entry in addax_trainer.state.log_history if key in entry]


def model_loss(model, batch):
    """Return the loss that the Trainer computes: the sum over predicted tokens, divided by their number."""
    return model(**batch, num_items_in_batch=batch["labels"][:, 1:].ne(-100).sum()).loss


def bare_loop(model, opt, zo_batches, fo_batches, loss=model_loss):
    """Train with a linear decay to zero over STEPS, the Trainer's default schedule. Return the losses."""
    losses = []
    model.train()
    for k in range(STEPS):
        opt.param_groups[0]["lr"] = LR * (1 - k / STEPS)
        given = {"zo_loss": zo_batches, "fo_loss": fo_batches}
        closures = {n: lambda b=b[k]: loss(model, b) for n, b in given.items() if b}
        losses.append(float(opt.step(**closures).loss))
    return losses


def split(batches):
    """Split recorded batches into those of long and those of short examples."""
    parts = {True: [], False: []}
    for batch in batches:
        longer = batch["attention_mask"].sum(1) > THRESHOLD
        assert longer.all() or not longer.any()
        parts[bool(longer[0])].append(batch)
    return parts[True], parts[False]


def collate_plain(examples):
    return collate([{k: e[k] for k in ("input_ids", "labels")} for e in examples])
