"""Model folders with parts that are missing, damaged, or from another model."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from benchmarks import models
from tests.benchmarks.bad_input.case import TINY, Case, Sandbox, options

MINE = ["--model", "{tmp}/model", "--task", "sst2", "--data", "builtin"]
ARGV = ["run", "--method", "sgd", *MINE, *options(TINY)]


def folder(name: str, change: Callable[[Path], object], *expected: str, loads: bool = True) -> Case:
    """Build a case from a changed copy of nano-opt."""
    return Case(name, ARGV, expected, lambda sandbox: change(sandbox.model()), loads=loads)


def configured(**changes: object) -> Callable[[Path], None]:
    """Return a function that changes a model's configuration; None removes a key."""

    def change(model: Path) -> None:
        file = model / "config.json"
        values = json.loads(file.read_text()) | changes
        file.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))

    return change


def weighted(edit: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Return a function that changes a model's weights with `edit`."""

    def change(model: Path) -> None:
        state = load_file(model / "model.safetensors")
        edit(state)
        save_file(state, model / "model.safetensors", metadata={"format": "pt"})

    return change


def _cut(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _without_tokenizer(model: Path) -> None:
    for file in model.glob("tokenizer*"):
        file.unlink()


def _longer_vocabulary(model: Path) -> None:
    """Shift the ids of all words beyond the model's vocabulary."""
    file = model / "tokenizer.json"
    values = json.loads(file.read_text())
    vocabulary = values["model"]["vocab"]
    shifted = {word: i + len(vocabulary) * (word[0] != "<") for word, i in vocabulary.items()}
    values["model"]["vocab"] = shifted
    file.write_text(json.dumps(values))


def _masked_without_mask(sandbox: Sandbox) -> None:
    model = sandbox.model("nano-roberta")
    for file in (models.WEIGHTS / "nano-opt").glob("tokenizer*"):
        (model / file.name).write_bytes(file.read_bytes())


CASES = [
    folder("no configuration", lambda m: (m / "config.json").unlink(), "no config.json", loads=False),
    folder(
        "a configuration that is not JSON",
        lambda m: (m / "config.json").write_text("{"),
        "config.json",
        loads=False,
    ),
    folder("an unnamed architecture", configured(model_type=None), "KeyError('model_type')", loads=False),
    folder("a misspelled architecture", configured(model_type="mistrl"), "'mistral'?", loads=False),
    folder(
        "an encoder-decoder",
        configured(model_type="bart"),
        "model_type 'bart' (Bart) is an encoder-decoder",
        "facebook/opt-125m",
        loads=False,
    ),
    folder(
        "a model of images and text",
        configured(model_type="gemma3"),
        "model_type 'gemma3' (Gemma3) combines several models (text_config, vision_config)",
        "use a model of type 'gemma3_text'",
        loads=False,
    ),
    folder(
        "a model of images",
        configured(model_type="vit"),
        "(ViT) has no causal, masked, or sequence-classification model",
        "FacebookAI/roberta-base",
        loads=False,
    ),
    folder(
        "a model with its own code",
        configured(model_type="mine", auto_map={"AutoConfig": "x.Mine"}),
        "needs Python code",
        "pass --trust-remote-code if you trust it",
        loads=False,
    ),
    folder(
        "a classifier that is asked to predict words",
        configured(model_type="canine"),
        "Canine has no language-model head; use head=classification",
        loads=False,
    ),
    folder("sizes that are words", configured(hidden_size="wide"), "cannot be read", "expected int, got str"),
    folder("no weights", lambda m: (m / "model.safetensors").unlink(), "cannot be read", "model.safetensors"),
    folder("weights cut off", _cut, "cannot be read", "is the folder complete?"),
    folder(
        "weights that are text", lambda m: (m / "model.safetensors").write_text("x" * 99), "cannot be read"
    ),
    folder(
        "weights of other shapes",
        configured(ffn_dim=8),
        "fc1.bias has the stored shape (256,)",
        "this run needs (8,)",
        "config.json",
    ),
    folder(
        "weights that lack a part",
        weighted(lambda s: s.pop(next(k for k in s if "fc1.weight" in k))),
        "fc1.weight",
    ),
    folder(
        "weights with NaN",
        weighted(lambda s: s[next(k for k in s if "fc1.weight" in k)][0, 0].fill_(torch.nan)),
        "weights are not finite",
        "fc1.weight (1 in all)",
    ),
    folder(
        "weights with infinity",
        weighted(lambda s: s[next(k for k in s if "fc1.bias" in k)][0].fill_(-torch.inf)),
        "weights are not finite",
        "fc1.bias",
    ),
    folder("no tokenizer", _without_tokenizer, "it has no tokenizer"),
    folder(
        "a tokenizer that is not JSON", lambda m: (m / "tokenizer.json").write_text("{"), "cannot be read"
    ),
    folder("another model's tokenizer", _longer_vocabulary, "the tokenizer belongs to another model"),
    Case(
        "a masked LM without a mask",
        ARGV,
        ("no mask token", "classification head"),
        _masked_without_mask,
        loads=True,
    ),
]
