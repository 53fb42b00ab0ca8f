"""Folders to which a model cannot be saved, and adapter folders that cannot be loaded."""

import json

from tests.benchmarks.bad_input.case import RUN, TINY, Case, Sandbox, options

SGD = [*RUN, "--method", "sgd", *options(TINY)]


def _file(sandbox: Sandbox) -> None:
    sandbox.write("taken", "text")


def _folder(sandbox: Sandbox) -> None:
    sandbox.write("taken/notes.txt", "text")


def _adapter(**values: object):
    def setup(sandbox: Sandbox) -> None:
        sandbox.write("adapter/adapter_config.json", json.dumps({"peft_type": "LORA", **values}))
        sandbox.write("adapter/adapter_model.safetensors", b"")

    return setup


def _broken(sandbox: Sandbox) -> None:
    sandbox.write("adapter/adapter_config.json", "{")


ADAPTER = ["run", "--method", "sgd", "--model", "{tmp}/adapter", "--task", "sst2", "--data", "builtin"]
ADAPTER += options(TINY)

CASES = [
    Case("a model saved over a file", [*SGD, "--save-model", "{tmp}/taken"], ("it is a file",), _file),
    Case(
        "a model saved to a full folder",
        [*SGD, "--save-model", "{tmp}/taken"],
        ("--save-model {tmp}/taken", "the folder is not empty"),
        _folder,
    ),
    Case(
        "a model saved below a file",
        [*SGD, "--save-model", "{tmp}/taken/model"],
        ("--save-model {tmp}/taken/model", "cannot write to {tmp}/taken"),
        _file,
    ),
    Case(
        "a saved zero-shot model",
        [*RUN, "--method", "zero-shot", "--save-model", "{tmp}/m"],
        ("zero-shot trains nothing", "nano-opt"),
    ),
    Case(
        "an adapter without a base",
        ADAPTER,
        ("adapter folder {tmp}/adapter", "names no base model", "base_model_name_or_path"),
        _adapter(),
    ),
    Case(
        "an adapter with a misspelled base",
        ADAPTER,
        ("its base model cannot be found", "did you mean 'nano-opt'?"),
        _adapter(base_model_name_or_path="nano-otp"),
    ),
    Case(
        "an adapter that cannot be merged",
        ADAPTER,
        ("kind P_TUNING", "supported: LORA"),
        _adapter(base_model_name_or_path="nano-opt", peft_type="P_TUNING"),
    ),
    Case(
        "a damaged adapter configuration",
        ADAPTER,
        ("{tmp}/adapter/adapter_config.json: not an adapter's configuration",),
        _broken,
    ),
    Case(
        "new adapters on an adapter to save",
        [*ADAPTER, "--trainable", "lora:2", "--save-model", "{tmp}/m"],
        ("adapters of trainable=lora:2", "their base is an adapter folder"),
        _adapter(base_model_name_or_path="nano-opt"),
    ),
    Case(
        "an adapter to train without an adapter",
        [*SGD, "--trainable", "adapter"],
        ("trainable=adapter needs a model with an adapter: nano-opt",),
    ),
]
