"""Tests of LoRA and last layers: trained and frozen weights, and agreement of a run with its prediction."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from benchmarks import models, registry, tasks
from benchmarks.config.spec import from_dict
from benchmarks.data.tokenize import encode
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _trainable as parameters
from benchmarks.training import run as train
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.training.predictions import predicted

NANO = ("nano-opt", "nano-llama", "nano-roberta")
DEPTH = {"nano-opt": 3, "nano-llama": 3, "nano-roberta": 4}
WIDTH = 64


def loaded(name, trainable, dtype=torch.float32, head="lm"):
    found = models.load(name, dtype=dtype, device="cpu", head=head, num_labels=2 if head != "lm" else None)
    parameters.select(found.model, trainable)
    return found


def trained(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("head", ["lm", "classification"])
@pytest.mark.parametrize("name", NANO)
def test_lora_trains_two_matrices_at_two_projections_of_each_layer(name, head):
    found = trained(loaded(name, "lora:4", head=head).model)
    adapters = {n for n in found if "lora_" in n}
    assert sum(found[n].numel() for n in adapters) == DEPTH[name] * 2 * (2 * 4 * WIDTH)
    rest = {n.split(".")[0] for n in found if n not in adapters}
    assert rest == (set() if head == "lm" else rest & {"score", "classifier"})
    assert bool(rest) == (head == "classification")


@pytest.mark.parametrize("name", NANO)
def test_lora_starts_with_the_losses_of_the_model(name):
    """B is zero; A is the same on every load and differs between modules; torch's generator is unchanged."""
    task = tasks.load("sst2")
    rows = train.load(from_dict(spec("mezo", name) | {"train_rows": 8}), None).train
    before = models.load(name, dtype=torch.float32, device="cpu", head="lm")
    state = torch.get_rng_state()
    first, again = loaded(name, "lora:4"), loaded(name, "lora:4")
    assert torch.equal(torch.get_rng_state(), state)
    losses = [Scorer(m, task).loss(encode(rows, task, m, "lm")).item() for m in (before, first)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    drawn = [p for n, p in trained(first.model).items() if "lora_A" in n]
    assert len({float(p.detach().sum()) for p in drawn}) == len(drawn)
    for (n, p), q in zip(trained(first.model).items(), trained(again.model).values(), strict=True):
        assert torch.equal(p, q)
        assert bool(p.any()) == ("lora_A" in n)


@pytest.mark.parametrize(
    ("dtype", "adapter_dtype"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_adapters_have_at_least_32_bits(dtype, adapter_dtype):
    model = loaded("nano-opt", "lora:4", dtype).model
    assert {p.dtype for p in trained(model).values()} == {adapter_dtype}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {dtype}


@pytest.mark.parametrize("head", ["lm", "classification"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", NANO)
def test_last_layers_and_everything_after_them_are_trained(name, count, head):
    """The last layers, the final norm, and an untied head are trained; all other weights are frozen."""
    model = loaded(name, f"last:{count}", head=head).model
    found = trained(model)
    blocks = parameters.layers(model)
    assert all(p.requires_grad for block in blocks[-count:] for p in block.parameters())
    assert not any(p.requires_grad for block in blocks[:-count] for p in block.parameters())
    assert not any(p is model.get_input_embeddings().weight for p in found.values())
    assert not any("embed" in n for n in found)
    inside = {p for block in blocks for p in block.parameters()}
    after = {n for n, p in found.items() if p not in inside}
    wanted = {
        ("nano-opt", "lm"): {"model.decoder.final_layer_norm.weight", "model.decoder.final_layer_norm.bias"},
        ("nano-llama", "lm"): {"model.norm.weight", "lm_head.weight"},
        ("nano-llama", "classification"): {"model.norm.weight", "score.weight"},
    }
    if (name, head) in wanted:
        assert after == wanted[name, head]
    assert after


def test_lora_adapts_the_fused_projection_of_gpt2():
    config = GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=50, n_positions=16)
    model = AutoModelForCausalLM.from_config(config)
    parameters.select(model, "lora:2")
    assert sum(p.numel() for p in trained(model).values()) == 2 * 2 * (32 + 3 * 32)


@pytest.mark.parametrize("name", ["deberta-v2", "distilbert", "electra"])
def test_adapters_train_the_whole_classification_head(name):
    """Heads have many names. An untrained part of one would be noise that stays."""
    model = copy.deepcopy(small(name, "masked", "classification", torch.float32).model)
    expected = {n for n, _ in model.named_parameters() if not n.startswith(model.base_model_prefix + ".")}
    parameters.select(model, "lora:2")
    assert {n for n in trained(model) if "lora_" not in n} == expected


@pytest.mark.parametrize("name", ["bloom", "gpt_neox", "gptj"])
def test_what_follows_the_last_layers_does_not_depend_on_names(name):
    """GPT-NeoX's output embeddings are called embed_out in some versions; Bloom's input has a norm."""
    model = copy.deepcopy(small(name, "causal").model)
    parameters.select(model, "last:1")
    inside = {p for block in parameters.layers(model) for p in block.parameters()}
    body = model.base_model
    norm = body.final_layer_norm if name == "gpt_neox" else body.ln_f
    after = {*norm.parameters(), *model.get_output_embeddings().parameters()}
    assert {*trained(model).values()} - inside == after - {*model.get_input_embeddings().parameters()}


def test_a_model_without_a_list_of_its_layers_is_rejected_by_name():
    with pytest.raises(UserError, match="AlbertForMaskedLM has no list of its 2 layers"):
        parameters.select(copy.deepcopy(small("albert", "masked").model), "last:1")


def test_more_last_layers_than_a_model_has_are_rejected():
    with pytest.raises(UserError, match="trainable=last:4: OPTForCausalLM has 3 layers"):
        loaded("nano-opt", "last:4")


def test_lora_on_a_model_without_known_projections_is_rejected():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"trainable=lora:8: Sequential has none of the projections"):
        parameters.select(model, "lora:8")


def spec(method, model, **changes):
    lr = {"lr": 1e-3} | ({"length_threshold": "q0.5"} if method == "addax" else {})
    sizes = {"train_rows": 48, "validation_rows": 16, "test_rows": 16, "evaluations": 1, "steps": 3}
    return {"method": method, "model": model, "task": "sst2"} | lr | sizes | changes


# Every method runs with both pairs, and Addax also with the other two combinations.
PAIRS = [("nano-opt", "lora:8"), ("nano-roberta", "last:1")]
CASES = [(method, *pair) for method in registry.files("method") for pair in PAIRS]
CASES += [("addax", "nano-opt", "last:1"), ("addax", "nano-roberta", "lora:8")]


@pytest.mark.medium
@pytest.mark.parametrize(("method", "model", "trainable"), CASES)
def test_every_method_trains_the_selected_weights_in_the_predicted_memory(method, model, trainable):
    """The row counts the trained weights, and its peak equals the prediction from its heaviest batches."""
    one = from_dict(spec(method, model, trainable=trainable))
    row = train.run(one, train.load(one, None), suite="test")
    assert row["status"] == "done"
    expected = sum(p.numel() for p in trained(loaded(model, trainable).model).values())
    assert row["trained_parameters"] == expected
    assert row["parameters"] > row["trained_parameters"]
    assert predicted(row).peak_bytes == pytest.approx(row["peak_bytes"], rel=2e-3)


def test_a_run_leaves_frozen_weights_bit_identical(monkeypatch):
    """Frozen weights stay unchanged even though the run restores its best weights at the end."""
    seen = {}

    class RecordingTrainer(train.Trainer):
        def train(self):
            frozen = {n: p.detach().clone() for n, p in self.model.named_parameters() if not p.requires_grad}
            super().train()
            seen.update(
                {n: torch.equal(p, frozen[n]) for n, p in self.model.named_parameters() if n in frozen}
            )

    monkeypatch.setattr(train, "Trainer", RecordingTrainer)
    one = from_dict(spec("ip-sgd", "nano-opt", trainable="lora:8"))
    train.run(one, train.load(one, None), suite="test")
    assert len(seen) > 40
    assert all(seen.values())


def test_adapters_need_a_tenth_of_the_optimizer_state_of_a_whole_model():
    whole, adapters = (
        predicted(train.run(one, train.load(one, None), suite="test"))
        for one in (from_dict(spec("adam", "nano-opt", trainable=p)) for p in ("all", "lora:8"))
    )
    assert adapters.split["optimizer_state"] < whole.split["optimizer_state"] / 10
