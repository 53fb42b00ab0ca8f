"""Every model family, found by walking the folder, and every model that the repository carries."""

import json
import re
import shutil
from random import Random

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    RobertaConfig,
    RobertaPreLayerNormConfig,
)

from benchmarks import models, registry
from benchmarks.data.tokenize import encode
from benchmarks.errors import UserError
from benchmarks.suites import quick
from benchmarks.tasks import _language, load

NANO = sorted(name for name in models.builtin() if name.startswith("nano-"))
SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
CONFIGS = [
    OPTConfig(**SMALL, word_embed_proj_dim=16, ffn_dim=16),
    LlamaConfig(**SMALL, intermediate_size=16),
    RobertaConfig(**SMALL, intermediate_size=16),
    RobertaPreLayerNormConfig(**SMALL, intermediate_size=16),
    BertConfig(**SMALL, intermediate_size=16),
    DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16),
    GPT2Config(**SMALL, pad_token_id=0, bos_token_id=1, eos_token_id=2),
]


def nano(name, **changes):
    return models.load(name, **({"dtype": torch.float32, "device": "cpu", "head": "lm"} | changes))


@pytest.mark.parametrize("name", registry.files("model"))
def test_a_family_file_binds_a_family(name):
    family = registry.module("model", name).FAMILY
    assert isinstance(family, models.Family)
    assert family.model_types
    assert registry.summary("model", name)


def test_no_name_and_no_type_belongs_to_two_families():
    families = models.families().values()
    types = [t for f in families for t in f.model_types]
    names = [n for f in families for n in f.builtin]
    assert len(types) == len(set(types))
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", NANO)
def test_nano_model_is_small_and_ready_to_train(name):
    loaded = nano(name)
    parameters = sum(p.numel() for p in loaded.model.parameters())
    assert 150_000 <= parameters <= 400_000
    assert sum(f.stat().st_size for f in (models.WEIGHTS / name).iterdir()) <= 1_500_000
    assert loaded.model.training
    assert loaded.max_length == 160
    assert loaded.name == name
    assert loaded.model.config._attn_implementation == "sdpa"
    assert {m.p for m in loaded.model.modules() if isinstance(m, torch.nn.Dropout)} <= {0.0}
    side = "right" if loaded.family.masked else "left"
    assert loaded.tokenizer.padding_side == loaded.tokenizer.truncation_side == side
    rows = loaded.model.get_input_embeddings().num_embeddings
    assert len(loaded.tokenizer) == rows
    assert loaded.tokenizer.pad_token_id < rows


def test_tied_and_untied_embeddings_are_both_there():
    tied = {nano(name).model.config.tie_word_embeddings for name in NANO}
    assert tied == {True, False}


@pytest.mark.parametrize("name", NANO)
@pytest.mark.parametrize("task", quick.TASKS)
def test_nano_tokenizer_knows_every_word_of_the_built_in_rows(name, task):
    tokenizer = nano(name).tokenizer
    rng = Random(task)
    for _ in range(100):
        row = load(task).generate(rng)
        text = load(task).prompt(row)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert [tokenizer.convert_ids_to_tokens(i) for i in ids] == re.findall(r"\n|\w+|[^\w\s]", text)
        if load(task).loss == "classification":
            for word in load(task).candidates(row):
                joint = tokenizer(text + word, add_special_tokens=False).input_ids
                assert joint[:-1] == ids


@pytest.mark.parametrize(
    "name", [name for name in registry.files("task") if load(name).loss == "classification"]
)
def test_nano_roberta_reads_every_word_of_what_it_is_asked_and_fills_in_every_answer(name):
    loaded, task, rng = nano("nano-roberta"), load(name), Random(name)
    rows = [task.generate(rng) for _ in range(100)]
    for example in encode(rows, task, loaded, "lm"):
        assert loaded.tokenizer.unk_token_id not in example.prompt
        words = [loaded.tokenizer.decode(c) for c in example.candidates]
        assert words == [text.strip() for text in task.candidates(rows[0])]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("nano-opt", "</s>", "great"), ("nano-llama", "<s>", "great"), ("nano-roberta", "<s>", "</s>")],
)
def test_special_tokens_go_where_the_architecture_has_them(name, first, last):
    tokenizer = nano(name).tokenizer
    ids = tokenizer("It was great").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[0] == first
    assert tokenizer.convert_ids_to_tokens(ids)[-1] == last
    assert tokenizer.decode(ids, skip_special_tokens=True) == "It was great"


def test_the_mask_is_one_token():
    tokenizer = nano("nano-roberta").tokenizer
    ids = tokenizer("It was <mask>").input_ids
    assert ids.count(tokenizer.mask_token_id) == 1
    assert len(ids) == 5


@pytest.mark.parametrize("name", NANO)
def test_padding_changes_no_prediction(name):
    loaded = nano(name)
    texts = ["Tom sold apples. It was", "the plot was dull but the cast seemed witty . It was"]
    batch = loaded.tokenizer(texts, return_tensors="pt", padding=True)
    both = loaded.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    for i, text in enumerate(texts):
        alone = loaded.model(input_ids=loaded.tokenizer(text, return_tensors="pt").input_ids).logits[0]
        kept = both[i][batch.attention_mask[i].bool()]
        torch.testing.assert_close(kept, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", NANO)
def test_dtype_is_that_of_every_parameter(name):
    full, half = nano(name).model, nano(name, dtype=torch.bfloat16).model
    for (key, p), (_, q) in zip(full.named_parameters(), half.named_parameters(), strict=True):
        assert q.dtype == torch.bfloat16, key
        assert torch.equal(p.to(torch.bfloat16), q), key


@pytest.mark.parametrize("name", NANO)
def test_a_classification_head_is_the_same_each_time_and_takes_no_random_numbers(name):
    before = torch.get_rng_state()
    one = nano(name, head="classification", num_labels=3).model
    torch.rand(7)
    two = nano(name, head="classification", num_labels=3).model
    torch.set_rng_state(before)
    nano(name, head="classification", num_labels=3)
    assert torch.equal(torch.get_rng_state(), before)
    for (key, p), (_, q) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert torch.equal(p, q), key
    assert one.num_labels == 3
    stored = dict(nano(name).model.base_model.named_parameters())
    assert all(torch.equal(stored[key], p) for key, p in one.base_model.named_parameters())


def test_a_head_and_its_number_of_classes_go_together():
    with pytest.raises(ValueError, match="num_labels"):
        nano("nano-opt", num_labels=2)
    with pytest.raises(ValueError, match="num_labels"):
        nano("nano-opt", head="classification")


def test_loading_prints_nothing_and_leaves_settings_alone(capfd):
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    nano("nano-roberta", head="classification", num_labels=2)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (verbosity, bars)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
@pytest.mark.parametrize("head", ["lm", "classification"])
def test_build_from_a_configuration(config, head):
    labels = 3 if head == "classification" else None
    real = models.build(config, dtype=torch.float32, head=head, num_labels=labels)
    empty = models.build(config, dtype=torch.bfloat16, device="meta", head=head, num_labels=labels)
    shapes = {key: p.shape for key, p in real.named_parameters()}
    assert {key: p.shape for key, p in empty.named_parameters()} == shapes
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in empty.parameters())
    logits = real(input_ids=torch.tensor([[5, 6, 7]]), attention_mask=torch.ones(1, 3)).logits
    assert logits.shape == ((1, 3, 50) if head == "lm" else (1, 3))
    assert logits.isfinite().all()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_positions_bound_the_length(config):
    family = models.family_of(config.model_type, "here")
    real = models.build(config, dtype=torch.float32)
    longest = family.positions(config)
    ids = torch.full((1, longest), 5)
    assert real(input_ids=ids).logits.shape[1] == longest
    if config.model_type != "llama":
        with pytest.raises((IndexError, RuntimeError)):
            real(input_ids=torch.full((1, longest + 1), 5))


def test_a_local_folder_is_the_same_model(tmp_path):
    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "mine")
    models.check(str(tmp_path / "mine"))
    copied = nano(str(tmp_path / "mine"))
    assert copied.family is models.builtin()["nano-opt"]
    for p, q in zip(copied.model.parameters(), nano("nano-opt").model.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nano-otp", "did you mean 'nano-opt'"),
        ("roberta", "did you mean 'nano-roberta'.*owner/name"),
        ("./nowhere", "no such folder"),
        ("some/where/else", "no such folder"),
        ("/", "no config.json"),
    ],
)
def test_a_wrong_name_is_refused(name, says):
    with pytest.raises(UserError, match=says) as caught:
        models.check(name)
    assert "\n" not in str(caught.value)


def test_a_hub_name_is_accepted_unseen():
    models.check("facebook/opt-13b")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"model_type": "t5"}', "no model family serves model_type 't5'.*llama.*opt"),
        ("{}", "model_type"),
        ("not json", "config.json"),
    ],
)
def test_a_folder_of_another_kind_is_refused(tmp_path, text, says):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=says):
        models.check(str(tmp_path))


def test_a_folder_without_weights_is_refused(tmp_path):
    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be read") as caught:
        nano(str(tmp_path / "mine"))
    assert "\n" not in str(caught.value)


def test_a_folder_that_lacks_some_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "mine")
    file = tmp_path / "mine" / "model.safetensors"
    state = load_file(file)
    lost = next(key for key in state if "layers.1.fc1.weight" in key)
    del state[lost]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=re.escape("layers.1.fc1.weight")):
        nano(str(tmp_path / "mine"))


def test_an_encoder_without_a_language_model_head_takes_a_classification_head_only(tmp_path):
    shutil.copytree(models.WEIGHTS / "nano-roberta", tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").unlink()
    size = json.loads((tmp_path / "mine" / "config.json").read_text())["vocab_size"]
    BertModel(BertConfig(**(SMALL | {"vocab_size": size}), intermediate_size=16)).save_pretrained(
        tmp_path / "mine"
    )
    with pytest.raises(UserError, match="no language-model head"):
        nano(str(tmp_path / "mine"))
    loaded = nano(str(tmp_path / "mine"), head="classification", num_labels=2)
    assert loaded.max_length == 512


def test_parts_on_disk_are_evaluated_and_get_no_gradient(tmp_path, capfd):
    whole = nano("nano-llama")
    parts = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    parts |= {f"model.layers.{i}": "disk" for i in range(whole.model.config.num_hidden_layers)}
    split = nano("nano-llama", device=parts, offload_folder=tmp_path)
    assert capfd.readouterr() == ("", "")
    ids = torch.tensor([[0, 5, 6, 7]])
    expected, found = (m.model(input_ids=ids, labels=ids) for m in (whole, split))
    assert torch.equal(expected.logits, found.logits)
    expected.loss.backward()
    found.loss.backward()
    reached = {key: p.grad for key, p in split.model.named_parameters() if p.grad is not None}
    assert set(reached) == {key for key, p in split.model.named_parameters() if not p.is_meta}
    assert set(reached) == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    for key, grad in reached.items():
        torch.testing.assert_close(grad, whole.model.get_parameter(key).grad)


def test_automatic_placement_is_the_same_model():
    one, two = nano("nano-opt"), nano("nano-opt", device="auto")
    if torch.cuda.is_available():
        pytest.skip("compared on a CPU")
    for p, q in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_the_vocabulary_has_no_word_twice():
    words = _language.vocabulary()
    assert len(words) == len(set(words))
