"""Tests of `length_threshold="auto:..."`: the chosen L_T, its predictions, and models that have none."""

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map
from transformers import OPTConfig, OPTForCausalLM

from addax import Addax, hf_memory, units
from addax.assignment import LengthThreshold
from addax.hf_meta import transformers_on_meta
from addax.hf_trainer import AddaxTrainer
from addax.memory import predict_peak
from benchmarks.profiling.peak_memory import LiveBytes
from tests.addax.trainers import CHECKPOINTING, arguments, collate, example, trainer
from tests.numerics.oracle import lora_model

# Activations outweigh the parameters, so the threshold matters.
LENGTHS = [40, 200, 120, 250, 45, 60]
DATA = [example(i, n) for i, n in enumerate(LENGTHS)]
LR, BATCH = 1e-3, 2


def model_of(dtype=torch.float32, device="cpu", dropout=0.0):
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=64, hidden_size=16, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=256, word_embed_proj_dim=16, dropout=dropout, attention_dropout=0.0,
        pad_token_id=1, bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    with torch.device(device):
        model = OPTForCausalLM(config).to(dtype).train()
    # The Trainer turns the key-value cache off.
    model.config.use_cache = False
    return model


def heaviest(tokens):
    """Return the batches of the heaviest step at a threshold, with their numbers of labels."""
    ranked = sorted(DATA, key=lambda e: -len(e["input_ids"]))
    short = [e for e in ranked if len(e["input_ids"]) <= tokens]
    batches = {"zo_loss": ranked[:BATCH], "fo_loss": short[:BATCH]}
    batches = {
        n: collate([{k: e[k] for k in ("input_ids", "labels")} for e in b]) for n, b in batches.items()
    }
    return {n: (b, b["labels"][:, 1:].ne(-100).sum()) for n, b in batches.items()}


@cache
def oracle(tokens, dtype=torch.float32, checkpointing=False, dropout=0.0):
    """Return the predicted peak of a step that is written without the Trainer."""

    def build():
        model = model_of(dtype, "meta", dropout)
        if checkpointing:
            getattr(model, f"{CHECKPOINTING}_enable")()
        return model, Addax(model, lr=LR)

    batches = tree_map(lambda t: t.to("meta"), heaviest(tokens))

    def closures_of(model):
        def closure(batch, count):
            return lambda: model(**batch, num_items_in_batch=count).loss

        return {name: closure(*given) for name, given in batches.items()}

    found = predict_peak(build, closures_of, device="cpu", patches=[transformers_on_meta()])
    return found.peak_bytes + sum(t.nbytes for t in tree_leaves(batches))


def just_enough(peak):
    """Return a budget for a peak; scalars of a few bytes may differ."""
    return f"auto:{(peak + 100) / 1e6:.6f}MB"


def auto(folder, budget, model=None, changes=None, **given):
    given = {"train_dataset": DATA, "zo_batch_size": BATCH, "length_threshold": budget} | given
    changes = {"learning_rate": LR, "per_device_train_batch_size": BATCH} | (changes or {})
    return trainer(folder, model_of() if model is None else model, changes, **given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "checkpointing", "dropout"),
    [(torch.bfloat16, False, 0.1), (torch.float32, True, 0.0)],
)
def test_the_threshold_is_the_largest_length_whose_step_fits(tmp_path, dtype, checkpointing, dropout):
    """An independent search over all lengths predicts a step that is written without the Trainer."""
    peaks = {n: oracle(n, dtype, checkpointing, dropout) for n in sorted(LENGTHS)}
    assert sorted(peaks.values()) == list(peaks.values())
    budget = peaks[120] + 100
    expected = max(n for n, peak in peaks.items() if peak <= budget)
    model = model_of(dtype, dropout=dropout)
    ours = auto(tmp_path, just_enough(peaks[120]), model, {CHECKPOINTING: checkpointing})
    assert ours.length_threshold_tokens == expected < max(LENGTHS)
    assert {len(e["input_ids"]) for e in ours.zo_dataset} == {n for n in LENGTHS if n > expected}
    assert {len(e["input_ids"]) for e in ours.train_dataset} == {n for n in LENGTHS if n <= expected}


def test_a_step_that_fits_needs_no_threshold(tmp_path):
    ours = auto(tmp_path, "auto:24GB")
    assert (ours.length_threshold_tokens, len(ours.zo_dataset), len(ours.train_dataset)) == (None, 6, 6)
    assert ours.args.optim == "Addax-WA (arXiv 2410.06441)"
    assert ours.args.optim_args["length_threshold"] == "auto:24GB"
    assert ours.args.optim_args["length_threshold_tokens"] is None


@pytest.mark.slow
def test_more_memory_gives_a_higher_threshold(tmp_path, monkeypatch):
    """Every prediction is made once; only the budget differs."""
    ours = auto(tmp_path, None)
    real = hf_memory.peak_bytes
    known = {n: real(ours, LENGTHS, n) for n in LENGTHS}
    monkeypatch.setattr(hf_memory, "peak_bytes", lambda ours, lengths, tokens: known[tokens])
    low, high = known[min(LENGTHS)], known[max(LENGTHS)]
    found = []
    for k in range(6):
        threshold = LengthThreshold.parse(just_enough(low + (high - low) * k / 5))
        found.append(hf_memory.choose_length_threshold(ours, threshold, LENGTHS) or max(LENGTHS))
    assert found == sorted(found)
    assert found[0] < found[2] < found[5] == max(LENGTHS)


@pytest.mark.medium
@pytest.mark.parametrize("tokens", [60, 250])
def test_the_predicted_peak_is_that_of_a_real_step(tmp_path, tokens):
    """AddaxTrainer takes a step on the same batches, in a thread without scratch memory."""
    ours = auto(tmp_path, None)
    predicted = hf_memory.peak_bytes(ours, LENGTHS, tokens)
    ours.create_optimizer()
    batches = heaviest(tokens)
    ours._zo_batch = lambda: batches["zo_loss"]

    def work():
        with LiveBytes([*ours.model.parameters(), *ours.model.buffers()]) as live:
            ours.training_step(ours.model, *batches["fo_loss"])
        return live.peak

    with ThreadPoolExecutor(1) as threads:
        live = threads.submit(work).result()
    assert predicted == pytest.approx(live + sum(t.nbytes for t in tree_leaves(batches)), rel=2e-3)


@pytest.mark.medium
def test_a_run_with_a_chosen_threshold_is_a_run_with_these_tokens(tmp_path):
    budget = just_enough(oracle(120))
    chosen, given = (auto(tmp_path, threshold) for threshold in (budget, 120))
    for ours in (chosen, given):
        ours.train()
    pairs = zip(chosen.model.parameters(), given.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert LengthThreshold.parse(chosen.args.optim_args["length_threshold"]) == LengthThreshold.parse(budget)
    assert chosen.args.optim_args["length_threshold_tokens"] == 120


@pytest.mark.medium
@pytest.mark.parametrize("how", ["settings", "groups", "instance", "lora"])
def test_a_prediction_leaves_the_model_and_the_method_alone(tmp_path, how):
    """Methods with groups of the model's parameters, methods that are built already, and adapters work."""
    model = lora_model(torch.float32, model_of) if how == "lora" else model_of()
    before, given = copy.deepcopy(model.state_dict()), {}
    if how == "instance":
        given["optimizers"] = (Addax(model, lr=LR), None)
    if how == "groups":
        groups = [{"params": list(model.parameters()), "lr": LR}]
        given["optimizer_cls_and_kwargs"] = (Addax, {"params": groups})
    ours = auto(tmp_path, None, model, **given)
    state = torch.get_rng_state()
    assert 40_000 < hf_memory.peak_bytes(ours, LENGTHS, 60) < hf_memory.peak_bytes(ours, LENGTHS, 250)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert all(p.device.type == "cpu" and p.grad is None for p in model.parameters())


@pytest.mark.medium
def test_a_custom_loss_is_the_one_that_is_predicted(tmp_path):
    class Wide(AddaxTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            # Eight copies of the logits.
            return torch.cat([model(**inputs).logits] * 8).square().mean()

    peaks = []
    for kind in (AddaxTrainer, Wide):
        ours = kind(
            model_of(), arguments(tmp_path), train_dataset=DATA, data_collator=collate, zo_batch_size=1
        )
        peaks.append(hf_memory.peak_bytes(ours, LENGTHS, 250))
    assert peaks[1] > peaks[0] + 6 * 4 * 64 * 250


@pytest.mark.medium
def test_a_budget_below_the_parameters_is_an_error_that_says_what_is_needed(tmp_path):
    needed = oracle(min(LENGTHS))
    with pytest.raises(ValueError, match="even a first-order batch of the shortest length") as found:
        auto(tmp_path, "auto:0.01MB")
    assert f"a step needs {units.format_bytes(needed, 'MB')}" in str(found.value)
    assert "per_device_train_batch_size" in str(found.value)


class Reads(OPTForCausalLM):
    """A model whose shapes depend on the values of tokens."""

    def forward(self, input_ids, labels=None, **inputs):
        return super().forward(input_ids, labels=labels[labels != -100][None], **inputs)


def test_a_model_that_reads_values_is_an_error_that_names_the_alternatives(tmp_path):
    with pytest.raises(
        ValueError, match="a step of Reads cannot be taken on tensors without values"
    ) as found:
        auto(tmp_path, "auto:1MB", Reads(model_of().config))
    assert "set length_threshold in tokens (170) or as a quantile (q0.7)" in str(found.value)


def test_a_collator_that_fails_is_named_and_not_taken_for_a_lack_of_memory(tmp_path):
    def unpadded(features):
        raise ValueError("Unable to create tensor, you should activate padding")

    with pytest.raises(ValueError, match="Unable to create tensor, you should activate padding"):
        AddaxTrainer(
            model_of(), arguments(tmp_path), train_dataset=DATA, data_collator=unpadded, zo_batch_size=BATCH,
            length_threshold="auto:24GB",
        )  # fmt: skip


class Packed(nn.Parameter):
    """A parameter whose memory is not that of its shape."""


CASES = {
    "quantized": ("the memory of quantized weights", lambda model: setattr(model, "is_quantized", True)),
    "packed": (
        "is a Packed, which has no copy on meta",
        lambda model: setattr(model.lm_head, "weight", Packed(model.lm_head.weight.detach())),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_without_a_prediction_is_rejected(tmp_path, case):
    message, change = CASES[case]
    ours, model = auto(tmp_path, None), model_of()
    change(model)
    ours.model = model
    with pytest.raises(ValueError, match=message):
        hf_memory._check(ours, "length_threshold=auto:1MB")


def test_a_compiled_model_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="the memory of a compiled model cannot be predicted"):
        auto(tmp_path, "auto:1MB", changes={"torch_compile": True})
