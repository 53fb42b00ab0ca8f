"""Tests of LoRA and last layers: trained and frozen weights, and agreement of a run with its prediction."""

import copy

import pytest
import torch

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


@pytest.mark.parametrize("name", ["deberta-v2", "distilbert", "electra"])
def test_adapters_train_the_whole_classification_head(name):
    """Heads have many names. An untrained part of one would be noise that stays."""
    model = copy.deepcopy(small(name, "masked", "classification", torch.float32).model)
    expected = {n for n, _ in model.named_parameters() if not n.startswith(model.base_model_prefix + ".")}
    parameters.select(model, "lora:2")
    assert {n for n in trained(model) if "lora_" not in n} == expected


FUSED = {
    "bloom": "query_key_value", "deberta": "in_proj", "falcon": "query_key_value", "gpt2": "c_attn",
    "gpt_bigcode": "c_attn", "gpt_neox": "query_key_value", "modernbert": "Wqkv", "mpt": "Wqkv",
    "phi3": "qkv_proj",
}  # fmt: skip
ENCODERS = ("deberta", "deberta-v2", "modernbert")


def unchanged(name):
    """Return a copy of a tiny random model, in float64 and without dropout."""
    return copy.deepcopy(small(name, "masked" if name in ENCODERS else "causal").model).eval()


@pytest.mark.parametrize(("name", "projection"), FUSED.items())
def test_adapters_on_a_fused_matrix_add_their_product_to_it(name, projection):
    """The model with W + (alpha / r) B A for each matrix W has the same logits. GPT-2 stores W transposed."""
    adapted, merged = unchanged(name), unchanged(name)
    parameters.select(adapted, "lora:2")
    modules = dict(adapted.named_modules())
    found = [n for n, module in modules.items() if hasattr(module, "lora_A")]
    assert {n.rpartition(".")[2] for n in found} == {projection}
    assert len(found) == len(parameters.layers(merged))
    ids = torch.arange(20, 31)[None]
    with torch.no_grad():
        before = merged(input_ids=ids).logits
        for n in found:
            a, b = (getattr(modules[n], f"lora_{part}")["default"].weight for part in "AB")
            b.copy_(torch.arange(b.numel()).reshape(b.shape).sin())
            weight = merged.get_submodule(n).weight
            product = parameters.LORA_ALPHA / 2 * b @ a
            weight += product.T if name == "gpt2" else product
        expected, logits = merged(input_ids=ids).logits, adapted(input_ids=ids).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)
    assert (logits - before).abs().max() > 1e-2


LAST = (
    "bloom",
    "deberta-v2",
    "falcon",
    "gemma",
    "gpt_neox",
    "gptj",
    "modernbert",
    "mpt",
    "phi",
    "phi3",
    "qwen3",
)


@pytest.mark.parametrize("name", LAST)
def test_the_last_layer_and_what_runs_after_it_are_trained(name):
    """The order of calls tells what follows the layers. DeBERTa's norm of relative positions does not."""
    model = unchanged(name)
    parameters.select(model, "last:1")
    blocks, order = parameters.layers(model), []
    for module in model.modules():
        module.register_forward_pre_hook(lambda module, _: order.append(module))
    with torch.no_grad():
        model(input_ids=torch.arange(20, 31)[None])
    late = order[order.index(blocks[-1]) :]
    early = order[: order.index(blocks[-1])]
    expected = {p for module in late if module not in early for p in module.parameters(recurse=False)}
    tied = {*model.get_input_embeddings().parameters()}
    # A parameter that the head owns itself is not in a module that is called.
    named = {p for n, p in model.named_parameters() if n == "cls.predictions.bias"}
    assert {*trained(model).values()} == (expected - tied) | named
    assert {*blocks[-1].parameters()} <= {*trained(model).values()}


def test_a_model_without_a_list_of_its_layers_is_rejected_by_name():
    with pytest.raises(UserError, match="AlbertForMaskedLM has no list of its 2 layers"):
        parameters.select(copy.deepcopy(small("albert", "masked").model), "last:1")


def test_more_last_layers_than_a_model_has_are_rejected():
    with pytest.raises(UserError, match="trainable=last:4: OPTForCausalLM has 3 layers"):
        loaded("nano-opt", "last:4")


def test_lora_on_a_model_without_known_projections_is_rejected():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    message = (
        r"trainable=lora:8: Sequential has none of the projections.*its linear layers are 0; use trainable="
    )
    with pytest.raises(UserError, match=message):
        parameters.select(model, "lora:8")


def spec(method, model, **changes):
    lr = {"lr": 1e-3} | ({"length_threshold": "q0.5"} if method == "addax" else {})
    sizes = {"train_rows": 48, "validation_rows": 16, "test_rows": 16, "evaluations": 1, "steps": 3}
    return {"method": method, "model": model, "task": "sst2"} | lr | sizes | changes


# Every method runs with both pairs, and Addax also with the other two combinations.
PAIRS = [("nano-opt", "lora:8"), ("nano-roberta", "last:1")]
CASES = [(method, *pair) for method in registry.files("method") for pair in PAIRS]
CASES += [("mezo", "nano-llama", "prefix:5"), ("adam", "nano-opt", "prefix:5")]
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
