"""Tests of adapter folders as models: merged and trained, from peft, with a head, and with errors."""

import json
import shutil

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from benchmarks import models
from benchmarks.config import fingerprint
from benchmarks.config.labels import label
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.models import _adapters, _trainable
from benchmarks.models._adapters import MERGEABLE
from tests.benchmarks.training.predictions import predicted
from tests.benchmarks.training.tiny_runs import row_of, tiny

IDS = torch.tensor([[2, 9, 14, 7, 21, 5, 11]])
TARGETS = ["q_proj", "v_proj"]
SETTINGS = {
    "LORA": lambda: peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS),
    "LOHA": lambda: peft.LoHaConfig(r=4, target_modules=TARGETS),
    "LOKR": lambda: peft.LoKrConfig(r=4, target_modules=TARGETS),
    "IA3": lambda: peft.IA3Config(target_modules=[*TARGETS, "fc2"], feedforward_modules=["fc2"]),
    "OFT": lambda: peft.OFTConfig(r=0, oft_block_size=8, target_modules=TARGETS),
    "HRA": lambda: peft.HRAConfig(r=4, target_modules=TARGETS),
}


def adapter(folder, config=None, base="nano-opt", head="lm", dtype=torch.float32):
    """Save an adapter with random weights; return the logits of the adapted model."""
    kind = AutoModelForCausalLM if head == "lm" else AutoModelForSequenceClassification
    source = models.WEIGHTS / base if base in models.builtin() else base
    model = kind.from_pretrained(source, dtype=dtype)
    torch.manual_seed(0)
    config = config or SETTINGS["LORA"]()
    config.task_type = "CAUSAL_LM" if head == "lm" else "SEQ_CLS"
    config.base_model_name_or_path = str(base)
    adapted = peft.get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            start = parameter.data if "ia3" in name else torch.zeros_like(parameter)
            parameter.data = start + 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(folder)
    return adapted.eval()(IDS).logits.detach()


def load(folder, dtype=torch.float64, **options):
    return models.load(str(folder), **({"dtype": dtype, "device": "cpu", "head": "lm"} | options))


@pytest.mark.parametrize("kind", MERGEABLE)
def test_a_merged_and_an_applied_adapter_give_the_logits_of_peft(tmp_path, kind):
    """In float64; the merged model has the base model's parameters only."""
    logits = adapter(tmp_path / "a", SETTINGS[kind](), dtype=torch.float64)
    base = load("nano-opt").model.eval()
    assert not torch.allclose(base(IDS).logits, logits, atol=1e-3)
    state = torch.get_rng_state()
    merged, applied = (load(tmp_path / "a", adapter=how).model.eval() for how in ("merge", "train"))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(merged(IDS).logits, logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(applied(IDS).logits, logits, rtol=1e-5, atol=1e-6)
    names = {name for name, _ in base.named_parameters()}
    assert {name for name, _ in merged.named_parameters()} == names
    assert {p.dtype for p in merged.parameters()} == {torch.float64}
    trained = {name for name, p in applied.named_parameters() if p.requires_grad}
    assert trained
    assert not trained & names


@pytest.mark.medium
@pytest.mark.parametrize("method", ["adam", "addax"])
def test_trainable_adapter_trains_the_adapter_and_nothing_else(tmp_path, method):
    adapter(tmp_path / "a")
    before = load(tmp_path / "a", torch.float32, adapter="train").model
    kept = {}
    spec = tiny(method, model=str(tmp_path / "a"), trainable="adapter", lr=1e-2)
    row = row_of(spec, save_model=lambda loaded, best, row: kept.update(loaded.model.named_parameters()))
    assert row["trained_parameters"] == sum(p.numel() for p in before.parameters() if p.requires_grad)
    for name, parameter in before.named_parameters():
        assert torch.equal(parameter, kept[name]) == (not parameter.requires_grad), name
    assert label(spec).endswith("(adapter)")
    assert spec.id != tiny(method, model=str(tmp_path / "a"), lr=1e-2).id


@pytest.mark.medium
@pytest.mark.parametrize("head", ["lm", "classification"])
def test_a_run_of_an_adapter_uses_the_memory_that_is_predicted(tmp_path, head):
    adapter(tmp_path / "a", head=head)
    spec = tiny("sgd", model=str(tmp_path / "a"), trainable="adapter", head=head)
    row = row_of(spec)
    assert row["peak_bytes"] == pytest.approx(predicted(row).peak_bytes, rel=0.02)


def test_layers_on_meta_are_those_that_loading_inserts(tmp_path):
    """Names, shapes, and dtypes of the trained parameters are the same, also beside 16-bit weights."""
    adapter(tmp_path / "a", head="classification")
    for dtype in (torch.bfloat16, torch.float64):
        options = {"head": "classification", "num_labels": 2}
        loaded = load(tmp_path / "a", dtype, adapter="train", **options).model
        meta = models.build(models.load_config(str(tmp_path / "a")), dtype=dtype, device="meta", **options)
        for model in (loaded, meta):
            _trainable.select(model, "adapter", str(tmp_path / "a"))
        ours, theirs = (
            {n: (p.shape, p.dtype) for n, p in m.named_parameters() if p.requires_grad}
            for m in (loaded, meta)
        )
        assert ours == theirs
        assert {n.split(".")[0] for n in ours} == {"model", "score"}


def test_the_head_of_an_adapter_is_loaded_and_a_missing_one_is_new(tmp_path):
    logits = adapter(tmp_path / "with", head="classification")
    adapter(tmp_path / "without")
    options = {"dtype": torch.float32, "head": "classification", "num_labels": 2}
    found = load(tmp_path / "with", **options)
    torch.testing.assert_close(found.model.eval()(IDS).logits, logits, rtol=1e-4, atol=1e-5)
    assert found.new_weights == ()
    assert load(tmp_path / "without", **options).new_weights == ("score.weight",)
    assert (models.has_head(str(tmp_path / "with")), models.has_head(str(tmp_path / "without"))) == (
        True,
        False,
    )


def test_the_fingerprint_covers_the_adapter_and_its_base(tmp_path):
    base = shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "base")
    adapter(tmp_path / "a", base=base)
    spec = tiny("sgd", model=str(tmp_path / "a"))
    found = []
    for change in (lambda: None, (tmp_path / "a" / "note").touch, (base / "note").touch):
        change()
        fingerprint._fingerprint.cache_clear()
        found.append(fingerprint.source_fingerprint(spec))
    assert len(set(found)) == 3


def changed(folder, **values):
    file = folder / _adapters.ADAPTER
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": "nano-otp"}, "its base model cannot be found: unknown model 'nano-otp'"),
        (
            {"base_model_name_or_path": "/no/folder"},
            "its base model cannot be found: model folder /no/folder",
        ),
        ({"peft_type": "PROMPT_TUNING"}, "of kind PROMPT_TUNING can be neither merged into the weights nor"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_rejected_before_any_work(tmp_path, values, message):
    adapter(tmp_path / "a")
    changed(tmp_path / "a", **values)
    with pytest.raises(UserError, match=message):
        tiny("sgd", model=str(tmp_path / "a"))


def test_an_adapter_without_weights_or_on_an_adapter_is_rejected(tmp_path):
    adapter(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    changed(tmp_path / "b", base_model_name_or_path=str(tmp_path / "a"))
    with pytest.raises(UserError, match="is an adapter folder, too"):
        tiny("sgd", model=str(tmp_path / "b"))
    (tmp_path / "a" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"it has no adapter_model\.safetensors"):
        tiny("sgd", model=str(tmp_path / "a"))


@pytest.mark.parametrize("base", ["nano-llama", "nano-roberta"])
def test_an_adapter_of_another_model_does_not_fit(tmp_path, base):
    adapter(tmp_path / "a", peft.LoraConfig(r=4, target_modules=["fc1"]))
    changed(tmp_path / "a", base_model_name_or_path=base)
    with pytest.raises(UserError, match=f"adapter folder {tmp_path / 'a'} does not fit {base}: "):
        load(tmp_path / "a")


def test_trainable_adapter_needs_an_adapter_folder():
    with pytest.raises(UserError, match="trainable=adapter needs a model with an adapter: nano-opt is not"):
        tiny("sgd", trainable="adapter")


def test_peft_is_named_if_it_is_missing(tmp_path, monkeypatch):
    adapter(tmp_path / "a")
    monkeypatch.setattr(_adapters.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs peft: pip install -e '\.\[harness\]'"):
        from_dict({"method": "zero-shot", "model": str(tmp_path / "a"), "task": "sst2"})
