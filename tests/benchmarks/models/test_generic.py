"""Tests of models without a family file: their families, and their agreement with their own forward passes.

`tests/benchmarks/evaluation/test_padding.py` and `test_generation.py` compare more architectures, and
`tests/zoo` compares the steps of MeZO and IP-SGD on all of them.
"""

import copy
import dataclasses
from functools import cache

import pytest
import torch
from transformers import AutoConfig, CanineTokenizer

from benchmarks import models, tasks
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.evaluation import evaluate
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _generic
from benchmarks.training import run as train
from tests.benchmarks.evaluation.naive_scores import encode, naive_loss, naive_scores, rows_of
from tests.benchmarks.models.model_folders import save_small
from tests.benchmarks.training.predictions import predicted
from tests.zoo.checks import check_ip_sgd, check_mezo

CAUSAL = {
    "mistral": "Mistral", "qwen3": "Qwen3", "gemma": "Gemma", "phi": "Phi", "phi3": "Phi3",
    "gpt_neox": "GPTNeoX", "bloom": "Bloom",
}  # fmt: skip
MASKED = {"modernbert": "ModernBert", "deberta-v2": "DebertaV2"}
NAMES = CAUSAL | MASKED
# Rotary positions and norms compute in float32 for every dtype.
CLOSE = 2e-5


def kind_of(name):
    return "causal" if name in CAUSAL else "masked"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Return a function from an architecture and a head to the folder of a tiny random model."""
    root = tmp_path_factory.mktemp("models")
    return cache(lambda name, head="lm": save_small(root / f"{name}-{head}", name, kind_of(name), head))


def load(folder, **changes):
    """Load a model whose dropout is off."""
    found = models.load(folder, **({"dtype": torch.float64, "device": "cpu", "head": "lm"} | changes))
    found.model.eval()
    return found


def few(task):
    """Return rows of different lengths that fit into 60 tokens."""
    return [
        {key: v if key == "label" else " ".join(v.split()[:most]) for key, v in row.items()}
        for row, most in zip(rows_of(task, 4), (12, 4, 12, 9), strict=True)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_scores_and_losses_are_those_of_the_model_itself_with_padding_on_either_side(name, folder_of):
    loaded = load(folder_of(name))
    family = loaded.family
    assert (family.name, family.masked) == (NAMES[name], name in MASKED)
    assert family.heads == ("lm", "classification")
    task = tasks.load("sst2")
    rows = few(task)
    examples, scorer = encode(rows, task, loaded, "lm"), Scorer(loaded, task)
    assert len({e.length for e in examples}) > 1
    expected = [naive_scores(loaded, task, row) for row in rows]
    # In float64, padding on the left gives NaN in Bloom, whose softmax is in float32.
    sides = [(scorer.padding.side, scorer.padding.gives_positions, scorer.padding.ready)]
    assert sides[0][0] == ("right" if name == "bloom" else "left")
    for side, gives_positions, ready in [*sides, ("right", False, False)]:
        scorer.padding.side, scorer.padding.gives_positions = side, gives_positions
        scorer.padding.ready = scorer.padding.masks_all = ready
        for found, alone in zip(scorer.candidate_scores(examples), expected, strict=True):
            assert found.tolist() == pytest.approx(alone, abs=CLOSE)
        assert scorer.loss(examples).item() == pytest.approx(naive_loss(loaded, task, rows), abs=CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_a_classification_head_reads_plain_inputs(name, folder_of):
    folder, task = folder_of(name, "classification"), tasks.load("cb")
    loaded, rows = load(folder, head="classification", num_labels=3), few(task)
    scorer = Scorer(loaded, task, "classification")
    found = scorer.candidate_scores(encode(rows, task, loaded, "classification"))
    for row, scores in zip(rows, found, strict=True):
        tokens = loaded.tokenizer(*task.inputs(row))["input_ids"]
        with torch.no_grad():
            alone = loaded.model(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
        assert scores.tolist() == pytest.approx(alone.tolist(), abs=CLOSE)


@pytest.mark.slow_except("gpt_neox", "modernbert")
@pytest.mark.parametrize("name", NAMES)
def test_mezo_and_ip_sgd_equal_the_dense_oracle(name, folder_of):
    """One step of each on the harness's own loss of a padded batch."""
    loaded, task = load(folder_of(name)), tasks.load("sst2")
    scorer = Scorer(loaded, task)
    batch = encode(few(task), task, loaded, "lm")
    for check in (check_mezo, check_ip_sgd):
        check(loaded.model, lambda model: scorer.loss(batch))


@pytest.mark.medium
@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_addax_takes_its_step_in_the_predicted_memory(name, folder_of):
    sizes = {"steps": 1, "evaluations": 1, "train_rows": 12, "validation_rows": 4, "test_rows": 4}
    one = from_dict(
        {"method": "addax", "model": folder_of(name), "task": "sst2", "lr": 1e-3, "length_threshold": "q0.5"}
        | sizes
    )
    row = train.run(one, train.load(one, None), suite="test")
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("done", 1, 0)
    # DeBERTa gets positions with its mask, which the prediction leaves out.
    assert predicted(row).peak_bytes == pytest.approx(row["peak_bytes"], rel=5e-3)


def test_a_model_without_an_end_or_padding_token_generates(folder_of):
    """Any token can pad, because masks hide it."""
    loaded = load(folder_of("gpt_neox"))
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.unk_token = None
    models._transformers.prepare_tokenizer(tokenizer, False)
    assert tokenizer.pad_token_id == 0
    task = dataclasses.replace(
        tasks.load("squad"), max_new_tokens=5, prompt=lambda row: row["question"] + "\nAnswer :"
    )
    rows = rows_of(task, 3)
    other = dataclasses.replace(loaded, tokenizer=tokenizer)
    texts = [evaluate.generate(Scorer(m, task), encode(rows, task, m, "lm")) for m in (loaded, other)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("model_type", "fields", "masked"),
    [
        ("electra", {}, True),
        ("electra", {"architectures": ["ElectraForCausalLM"]}, False),
        ("xlm-roberta", {"is_decoder": True}, False),
        ("xlm-roberta", {"architectures": ["XLMRobertaForMaskedLM"], "is_decoder": True}, True),
        ("xlm", {"causal": True}, False),
        # The head is the run's choice, so that the class of the stored one says nothing.
        ("electra", {"architectures": ["ElectraForSequenceClassification"]}, True),
        ("qwen3", {"architectures": ["Qwen3Model"]}, False),
        ("canine", {}, True),
        ("mistral4", {}, False),
    ],
)
def test_a_type_that_can_be_both_is_what_its_configuration_says(model_type, fields, masked):
    values = {"model_type": model_type} | fields
    assert models.family_of(model_type, "here", values).masked is masked


@pytest.mark.parametrize("name", ["camembert", "data2vec-text", "esm", "mpnet", "xlm-roberta", "xmod"])
def test_reserved_positions_are_not_used(name):
    """These tables start after the padding token. One more token reads past the end."""
    more = {"languages": ["en_XX"], "default_language": "en_XX"} if name == "xmod" else {}
    more |= {"position_embedding_type": "absolute"} if name == "esm" else {}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model(
        name, vocab_size=30, max_position_embeddings=20, pad_token_id=1, **sizes, **more
    )
    family = models.family_of(name, "here", config)
    longest = family.positions(config)
    assert longest == 18
    model = models.build(config, dtype=torch.float32)
    assert model(input_ids=torch.full((1, longest), 5)).logits.shape[1] == longest
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, longest + 1), 5))


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({"max_seq_len": 40}, 40), ({"max_position_embeddings": -1, "n_positions": 9}, 9), ({}, 2048)],
)
def test_the_longest_sequence_has_many_names(fields, limit):
    assert (
        _generic.positions(AutoConfig.for_model("mpt", n_layers=1, **({"max_seq_len": 0} | fields))) == limit
    )


@pytest.mark.parametrize("model_type", ["canine", "lilt"])
def test_a_type_with_a_classification_model_only_takes_that_head(model_type):
    family = models.family_of(model_type, "here")
    assert family.heads == ("classification",)
    config = AutoConfig.for_model(
        model_type, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    assert models.build(config, dtype=torch.float32, device="meta", head="classification", num_labels=2)
    with pytest.raises(UserError, match="has no language-model head; use head=classification"):
        models.build(config, dtype=torch.float32, device="meta")


def test_a_model_of_characters_trains_with_a_classification_head(tmp_path):
    """CANINE hashes characters, so it has no table of tokens, and its tokenizer needs no file of words."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = AutoConfig.for_model(
        "canine", **sizes, num_hash_buckets=512, num_hash_functions=4, local_transformer_stride=8
    )
    models.build(config, dtype=torch.float32, head="classification", num_labels=2).save_pretrained(tmp_path)
    CanineTokenizer().save_pretrained(tmp_path)
    rows = {"steps": 1, "evaluations": 1, "train_rows": 8, "validation_rows": 4, "test_rows": 4}
    given = {"method": "addax", "model": str(tmp_path), "task": "sst2", "head": "classification", "lr": 1e-3}
    one = from_dict(given | rows)
    assert train.run(one, train.load(one, None), suite="test")["status"] == "done"


def test_a_model_that_needs_more_than_tokens_is_rejected_by_name(folder_of, monkeypatch):
    def forward(*_, **__):
        raise ValueError("You have to specify pixel_values\nor not")

    loaded = load(folder_of("gpt_neox"))
    monkeypatch.setattr(loaded.model.base_model, "forward", forward)
    message = "does not run on tokens alone \\(ValueError: You have to specify pixel_values\\); use a model"
    with pytest.raises(UserError, match=message):
        Scorer(loaded, tasks.load("sst2"))


def test_a_type_without_a_classification_model_takes_the_language_model_head_only():
    config = AutoConfig.for_model("mamba", hidden_size=16, num_hidden_layers=1)
    with pytest.raises(UserError, match="Mamba has no classification head; use head=lm"):
        models.build(config, dtype=torch.float32, device="meta", head="classification", num_labels=2)


def test_every_type_of_transformers_gets_a_family_or_a_reason():
    """No type fails in another way, and each accepted type has a head that transformers' mappings contain."""
    types = {model_type for names in _generic.mappings().values() for model_type in names}
    accepted, refused = set(), {}
    for model_type in types:
        try:
            family = models.family_of(model_type, "here")
        except UserError as error:
            refused[model_type] = str(error)
        else:
            assert family.heads
            accepted.add(model_type)
    assert len(accepted) > 150
    reasons = ("is an encoder-decoder", "combines several models")
    assert all(any(reason in text for reason in reasons) for text in refused.values()), refused
    assert {"t5", "bart", "whisper", "gemma3"} <= set(refused)
