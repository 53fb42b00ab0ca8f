"""Tests of saved models: their weights, scores, memory, adapters, and what a kill or a full disk leaves."""

import json
import shutil
from functools import partial

import pytest
import torch
from peft import AutoPeftModel, AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification, PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from benchmarks import models
from benchmarks.config.names import ZERO_SHOT
from benchmarks.errors import UserError
from benchmarks.models import _adapters
from benchmarks.results import saved
from benchmarks.training import run as train
from benchmarks.training import saved_model
from benchmarks.training.state import weights_of
from tests.benchmarks.training.resumable_runs import checkpoints_of, spec_of, stop_after
from tests.benchmarks.training.tiny_runs import row_of, tiny

SEQUENCE = torch.tensor([[2, 9, 14, 7, 21, 5]])


def saved_run(folder, method="sgd", **changes):
    """Run a spec, and save its model; return the spec and the row."""
    spec = tiny(method, **{"lr": 1e-2} | changes)
    return spec, row_of(spec, save_model=partial(saved_model.save, folder, spec))


def zero_shot(folder, **changes):
    """Return the row of a zero-shot run of a saved model."""
    return row_of(tiny(ZERO_SHOT, model=str(folder), **changes))


@pytest.mark.medium
@pytest.mark.parametrize("head", ["lm", "classification"])
@pytest.mark.parametrize(
    ("model", "dtype"),
    [("nano-opt", "float32"), ("nano-llama", "bfloat16"), ("nano-roberta", "float32")],
)
def test_a_saved_model_scores_what_the_run_tested(tmp_path, model, dtype, head):
    """The test score, the loss, and the AUC are equal to the last bit, also with the trained head."""
    _, row = saved_run(tmp_path / "m", model=model, dtype=dtype, head=head)
    assert zero_shot(tmp_path / "m", dtype=dtype, head=head)["test"] == row["test"]
    assert zero_shot(model, dtype=dtype)["test"] != row["test"]
    file = tmp_path / "m" / "model.safetensors"
    with safe_open(file, "pt") as opened:
        assert {opened.get_tensor(key).dtype for key in opened.keys()} == {getattr(torch, dtype)}  # noqa: SIM118


def test_transformers_loads_a_saved_model_with_its_tokenizer(tmp_path):
    saved_run(tmp_path / "m")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert torch.equal(
        model.eval()(SEQUENCE).logits,
        models.load(str(tmp_path / "m"), dtype=torch.float32, device="cpu", head="lm")
        .model.eval()(SEQUENCE)
        .logits,
    )
    text = "a dull plot"
    own = models.load_tokenizer("nano-opt").tokenizer
    assert AutoTokenizer.from_pretrained(tmp_path / "m")(text).input_ids == own(text).input_ids
    assert (tmp_path / "m" / "generation_config.json").exists()


@pytest.mark.medium
def test_the_best_weights_are_saved_and_not_the_last_ones(tmp_path):
    """The run gets worse after its first evaluation, because the learning rate is far too large."""
    _, row = saved_run(tmp_path / "m", lr=3.0, steps=8, evaluations=4)
    assert row["best_step"] < row["steps"]
    assert zero_shot(tmp_path / "m")["test"] == row["test"]


def test_the_model_card_and_the_record_name_the_run(tmp_path):
    spec, row = saved_run(tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text()
    for text in ("SGD", "SST-2", "accuracy", f"{row['score']:.4f}", spec.id, "nano-opt", "License"):
        assert text in card
    assert "license:" not in card
    record = saved.read(tmp_path / "m")
    assert (record["id"], record["config"], record["score"]) == (spec.id, spec.config(), row["score"])
    assert saved.is_of(tmp_path / "m", spec, row["data_fingerprint"])
    assert not saved.is_of(tmp_path / "m", spec, "other data")
    assert not saved.is_of(tmp_path / "m", tiny("mezo"), row["data_fingerprint"])


@pytest.mark.parametrize("trainable", ["all", "last:1", "lora:2"])
def test_saving_copies_no_weight(tmp_path, monkeypatch, trainable):
    """Every tensor that is written is the storage of the model or of its best weights in host memory."""
    written, own = [], []

    def record(module):
        real = module.save_file

        def save_file(tensors, *args, **kwargs):
            written.extend(tensors.values())
            return real(tensors, *args, **kwargs)

        return save_file

    import safetensors.torch
    from transformers import modeling_utils

    save_file = record(safetensors.torch)
    monkeypatch.setattr(safetensors.torch, "save_file", save_file)
    monkeypatch.setattr(modeling_utils, "safe_save_file", save_file)
    spec = tiny("sgd", trainable=trainable)

    def save(loaded, best, row):
        own.extend(t.data_ptr() for t in (*loaded.model.state_dict().values(), *best.values()))
        saved_model.save(tmp_path / "m", spec, loaded, best, row)

    row_of(spec, save_model=save)
    assert len(written) > 5
    assert {t.data_ptr() for t in written} <= set(own)


def test_weights_on_another_device_are_written_from_the_copy_in_host_memory():
    """A GPU is simulated by tensors of a second model; tied names get one tensor, as in the model."""
    model = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm").model
    copies = {name: tensor.clone() for name, tensor in weights_of(model).items()}
    state = saved_model._state(model, copies)
    ours = {tensor.data_ptr() for tensor in copies.values()}
    assert state.keys() == model.state_dict().keys()
    assert {tensor.data_ptr() for tensor in state.values()} == ours
    tied = [
        n
        for n, p in model.named_parameters(remove_duplicate=False)
        if p is model.get_output_embeddings().weight
    ]
    assert len({state[name].data_ptr() for name in tied}) == 1


@pytest.mark.medium
@pytest.mark.parametrize(
    ("model", "head", "auto"),
    [
        ("nano-llama", "lm", AutoPeftModelForCausalLM),
        ("nano-opt", "classification", AutoPeftModelForSequenceClassification),
        ("nano-roberta", "lm", AutoPeftModel),
        ("nano-roberta", "classification", AutoPeftModelForSequenceClassification),
    ],
)
def test_a_run_of_adapters_saves_an_adapter_that_peft_loads(tmp_path, model, head, auto):
    base = tmp_path / "base"
    shutil.copytree(models.WEIGHTS / model, base)
    kept = {}
    spec = tiny("adam", model=str(base), head=head, trainable="lora:2", lr=1e-2)

    def save(loaded, best, row):
        kept["logits"] = loaded.model.eval()(SEQUENCE).logits.detach()
        saved_model.save(tmp_path / "m", spec, loaded, best, row)

    row = row_of(spec, save_model=save)
    config = json.loads((tmp_path / "m" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    assert bool(config["modules_to_save"]) == (head == "classification")
    assert not list((tmp_path / "m").glob("model*.safetensors"))
    assert torch.equal(auto.from_pretrained(tmp_path / "m").eval()(SEQUENCE).logits, kept["logits"])
    kind = AutoModelForSequenceClassification if head == "classification" else auto._target_class
    if kind is not None:
        # A model that this test loads by itself, as another user of the folder would.
        by_hand = PeftModel.from_pretrained(kind.from_pretrained(base), tmp_path / "m")
        assert torch.equal(by_hand.eval()(SEQUENCE).logits, kept["logits"])
    again = zero_shot(tmp_path / "m", head=head)["test"]
    assert again == pytest.approx(row["test"], rel=1e-4)
    assert zero_shot(base)["test"]["loss"] != pytest.approx(row["test"]["loss"], rel=1e-4)


@pytest.mark.medium
def test_an_adapter_of_a_built_in_model_names_it_as_given(tmp_path):
    saved_run(tmp_path / "m", trainable="lora:2")
    assert _adapters.base_of(str(tmp_path / "m")) == "nano-opt"
    assert (
        models.load_tokenizer(str(tmp_path / "m")).max_length == models.load_tokenizer("nano-opt").max_length
    )


@pytest.mark.medium
def test_a_resumed_run_saves_its_model(tmp_path, monkeypatch):
    spec = spec_of("sgd", "nano-opt")
    splits = train.load(spec, None)
    folders = tmp_path / "whole", tmp_path / "resumed"
    whole, resumed = ({"suite": "s", "save_model": partial(saved_model.save, f, spec)} for f in folders)
    row = train.run(spec, splits, **whole)
    stop_after(monkeypatch, spec, splits, tmp_path / "runs", 6)
    checkpoints = checkpoints_of(spec, splits)
    assert checkpoints.open() == 6
    assert train.run(spec, splits, **resumed, checkpoints=checkpoints)["test"] == row["test"]
    first, second = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == second


class TestFolders:
    """A folder is complete or absent, and an earlier model stays until a new one is complete."""

    def _loaded(self):
        return models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")

    @pytest.fixture
    def row(self):
        spec = tiny("sgd")
        return {
            "id": spec.id, "suite": "s", "config": spec.config(), "metric": "accuracy", "score": 0.5,
            "data_fingerprint": "d", "source_fingerprint": "s", "task_title": "SST-2", "label": "SGD",
            "test": {"n": 2, "loss": 0.7},
        }  # fmt: skip

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
    def test_an_interruption_leaves_the_earlier_model_and_nothing_else(
        self, tmp_path, monkeypatch, row, error
    ):
        spec, loaded = tiny("sgd"), self._loaded()
        saved_model.save(tmp_path / "m", spec, loaded, None, row)
        before = (tmp_path / "m" / "model.safetensors").read_bytes()

        def interrupted(*args):
            raise error

        monkeypatch.setattr(saved_model, "card", interrupted)
        loaded.model.get_input_embeddings().weight.data.add_(1)
        expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected, match="No space left" if expected is UserError else None):
            saved_model.save(tmp_path / "m", spec, loaded, None, row)
        assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["m"]
        monkeypatch.undo()
        saved_model.save(tmp_path / "m", spec, loaded, None, row)
        assert (tmp_path / "m" / "model.safetensors").read_bytes() != before
        assert [path.name for path in tmp_path.iterdir()] == ["m"]

    def test_what_a_killed_process_left_is_removed(self, tmp_path, row):
        spec = tiny("sgd")
        left = tmp_path / f".m.{spec.id}.part"
        left.mkdir()
        (left / "model.safetensors").write_bytes(b"half")
        saved_model.save(tmp_path / "m", spec, self._loaded(), None, row)
        assert [path.name for path in tmp_path.iterdir()] == ["m"]

    def test_only_the_model_of_the_same_run_may_be_replaced(self, tmp_path, row):
        spec = tiny("sgd")
        saved_model.save(tmp_path / "m", spec, self._loaded(), None, row)
        saved.check_target(tmp_path / "m", spec)
        with pytest.raises(UserError, match="not empty"):
            saved.check_target(tmp_path / "m", tiny("mezo"))


@pytest.mark.parametrize("trainable", ["all", "lora:2"])
@pytest.mark.parametrize("head", ["lm", "classification"])
def test_the_predicted_size_is_that_of_the_files(tmp_path, trainable, head):
    spec, _ = saved_run(tmp_path / "m", trainable=trainable, head=head)
    size = sum(file.stat().st_size for file in (tmp_path / "m").glob("*.safetensors"))
    assert saved_model.bytes_of(spec) <= size + 64 * 64 * 4
    assert size <= saved_model.bytes_of(spec) + saved_model.OTHER_FILES


def test_models_that_do_not_fit_on_the_disk_are_refused(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=60 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    spec = tiny("sgd")
    saved_model.check_space(tmp_path / "new" / "folder", [spec])
    with pytest.raises(UserError, match=r"the 2 models need 0\.07 GB, but the disk of"):
        saved_model.check_space(tmp_path, [spec, tiny("mezo")])
