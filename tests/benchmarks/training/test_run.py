"""The training loop on a nano model: every method, what a row holds, and what the numbers count."""

import json
import math
import shutil
from itertools import pairwise

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, OPTConfig, RobertaConfig

from benchmarks import models, registry
from benchmarks.config.methods import ZERO_SHOT, method_class
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.evaluation.evaluate import Score
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _transformers
from benchmarks.models._dropout import Dropout
from benchmarks.synthetic import nano_tokenizer as _nano
from benchmarks.synthetic import pretrain
from benchmarks.tasks import _language
from benchmarks.training import loop
from benchmarks.training import run as train

METHODS = tuple(registry.files("method"))
STEPS, ROWS, ZO, FO = 4, 24, 3, 2
TINY = {
    "model": "nano-opt", "task": "sst2", "train_rows": ROWS, "validation_rows": 8, "test_rows": 12,
    "steps": STEPS, "evaluations": 2, "eval_batch_size": 8, "lr": 1e-4,
}  # fmt: skip
# (forwards, backwards, examples through a forward) of the whole run.
COUNTS = {
    "addax": (3 * STEPS, STEPS, STEPS * (2 * ZO + FO)),
    "mezo": (2 * STEPS, 0, STEPS * 2 * ZO),
    "ip-sgd": (STEPS, STEPS, STEPS * FO),
    "sgd": (STEPS, STEPS, STEPS * FO),
    "adam": (STEPS, STEPS, STEPS * FO),
    # Every second step is an anchor step over the whole training set.
    "mezo-svrg": (STEPS // 2 * (2 + 4), 0, STEPS // 2 * (2 * ROWS + 4 * ZO)),
}
TIMES = {"started", "ended", "wall_seconds", "step_seconds", "train_seconds", "train_seconds_to_best"}
TIMES |= {"eval_seconds"}


def tiny(method, **changes):
    losses = () if method == ZERO_SHOT else method_class(method).closures
    sizes = {f"{part}_batch_size": n for part, n in (("zo", ZO), ("fo", FO)) if f"{part}_loss" in losses}
    given = {"method": method, **TINY, **sizes, **changes}
    if method == ZERO_SHOT:
        del given["lr"]
    return from_dict(given)


def row_of(spec):
    return train.run(spec, train.load(spec, None), suite="test")


@pytest.mark.usefixtures("predicted")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_whole_row(method):
    spec = tiny(method)
    row = json.loads(json.dumps(row_of(spec)))
    assert (row["status"], row["reason"], row["suite"]) == ("done", None, "test")
    assert row["id"] == spec.id
    assert from_dict(row["config"]).id == spec.id
    assert row["label"] == spec.label
    assert (row["task_title"], row["metric"]) == ("SST-2", "accuracy")
    assert row["test"]["n"] == 12
    assert row["score"] == row["test"]["score"] == round(row["score"] * 12) / 12
    assert [point["step"] for point in row["curve"]] == [0, 2, 4]
    for point in row["curve"]:
        assert point["n"] == 8
        assert 0 <= point["score"] <= 1
        assert 0 < point["loss"] < 10
        assert point["auc"] is None or 0 <= point["auc"] <= 1
    assert row["curve"][0]["train_loss"] is None
    assert all(0 < point["train_loss"] < 10 for point in row["curve"][1:])
    assert row["curve"][0]["examples_forward"] == row["curve"][0]["train_seconds"] == 0
    assert row["curve"][-1]["examples_forward"] == row["examples_forward"]
    assert row["best_step"] in (2, 4)
    best = next(p for p in row["curve"] if p["step"] == row["best_step"])
    assert row["validation"] == {k: best[k] for k in ("score", "loss", "auc", "n")}
    assert row["train_seconds_to_best"] == best["train_seconds"]
    assert 0 < row["step_seconds"] <= row["train_seconds"] < row["wall_seconds"]
    assert row["eval_seconds"] > 0
    assert row["train_seconds"] + row["eval_seconds"] < row["wall_seconds"]
    assert (row["steps"], row["skipped_steps"], row["realised_fraction"]) == (STEPS, 0, None)
    assert row["parameters"] * 4 < row["peak_bytes"] < row["parameters"] * 4 * 20
    assert row["peak_how"] == "cpu live tensor bytes"
    # A generator's state, which is no operator's output, apart.
    assert row["peak_predicted"] == pytest.approx(row["peak_bytes"], rel=2e-3)
    assert sum(row["peak_predicted_split"].values()) == row["peak_predicted"]
    assert row["train_rows"] == row["d0_rows"] == row["d1_rows"] == ROWS
    assert row["started"] <= row["ended"]
    assert row["versions"]["torch"] == torch.__version__
    assert set(row) >= {"hardware", "threads", "git_commit", "git_dirty", "jobs", "peak_predicted"}
    assert len(row["data_fingerprint"]) == len(row["source_fingerprint"]) == 16
    if method in COUNTS:
        assert (row["forwards"], row["backwards"], row["examples_forward"]) == COUNTS[method]


def test_svrg_runs_640_examples_a_step_in_the_paper_s_setting():
    spec = tiny("mezo-svrg", train_rows=512, zo_batch_size=64, steps=2, evaluations=1, eval_batch_size=64)
    row = row_of(spec)
    assert row["examples_forward"] / row["steps"] == 640
    assert row_of(tiny("mezo", zo_batch_size=64, train_rows=64, steps=1))["examples_forward"] == 128


def test_zero_shot_is_the_evaluation_before_the_first_step():
    spec = tiny(ZERO_SHOT)
    row = row_of(spec)
    assert [point["step"] for point in row["curve"]] == [0]
    assert (row["steps"], row["forwards"], row["backwards"], row["examples_forward"]) == (0, 0, 0, 0)
    assert (row["peak_bytes"], row["step_seconds"], row["best_step"]) == (None, None, 0)
    trained = row_of(tiny("sgd"))
    assert row["curve"][0] == trained["curve"][0]
    # A step of size zero changes nothing.
    assert row_of(tiny("sgd", lr=0.0))["test"] == row["test"]


@pytest.mark.parametrize("method", METHODS)
def test_equal_specs_give_equal_numbers(method):
    def numbers(row):
        curve = [{k: v for k, v in point.items() if k != "train_seconds"} for point in row["curve"]]
        return {k: v for k, v in row.items() if k not in TIMES} | {"curve": curve}

    first = numbers(row_of(tiny(method)))
    assert numbers(row_of(tiny(method))) == first
    other = numbers(row_of(tiny(method, data_seed=1)))
    assert other["curve"][-1]["loss"] != first["curve"][-1]["loss"]


def snapshot(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_best_checkpoint_on_validation_is_the_one_tested(monkeypatch):
    # Before training, after steps 1 to 4, and the test: the untrained model is no checkpoint.
    scores = [0.99, 0.2, 0.7, 0.7, 0.5, 0.4]
    losses = [0.0, 1.0, 1.0, 0.5, 0.1, 1.0]
    seen = []

    def watched(scorer, examples, batch_size):
        seen.append((snapshot(scorer.model), len(examples)))
        return Score(scores[len(seen) - 1], losses[len(seen) - 1], None, len(examples))

    monkeypatch.setattr(loop, "evaluate", watched)
    row = row_of(tiny("sgd", evaluations=4))
    states = [state for state, _ in seen]
    assert [n for _, n in seen] == [8] * 5 + [12]
    assert all(not torch.equal(a, b) for a, b in pairwise(states[:5]))
    # Of equal scores the smaller loss wins.
    assert torch.equal(states[5], states[3])
    assert (row["best_step"], row["validation"]["score"], row["score"]) == (3, 0.7, 0.4)


@pytest.fixture
def batches(monkeypatch):
    """Every training loss: (whether gradients were on, the examples' prompts and lengths)."""
    seen = []
    loss = Scorer.loss

    def watched(self, batch):
        seen.append((torch.is_grad_enabled(), [(e.prompt, e.length) for e in batch]))
        return loss(self, batch)

    monkeypatch.setattr(Scorer, "loss", watched)
    return seen


@pytest.mark.parametrize("threshold", ["q0.5", 12])
def test_long_examples_are_for_forwards_and_short_ones_for_gradients(batches, threshold):
    spec = tiny("addax", length_threshold=threshold, steps=6)
    row = row_of(spec)
    limit = row["length_threshold_tokens"]
    assert limit == 12 if threshold == 12 else row["d1_rows"] >= ROWS / 2
    assert row["d0_rows"] + row["d1_rows"] == ROWS
    assert row["d0_rows"] > 0
    for with_gradient, batch in batches:
        assert all((length <= limit) == with_gradient for _, length in batch)
        assert len(set(batch)) == (FO if with_gradient else ZO)
    assert sum(g for g, _ in batches) * 2 == sum(not g for g, _ in batches)


def test_batches_are_the_same_for_all_methods(batches):
    drawn = {}
    for method in METHODS:
        batches.clear()
        row_of(tiny(method))
        zo = [b for gradient, b in batches if not gradient and len(b) == ZO]
        fo = [b for gradient, b in batches if gradient]
        drawn[method] = zo[: 2 * STEPS : 2], fo[:STEPS]
    zo, fo = drawn["addax"]
    assert drawn["mezo"][0] == zo
    for method in ("sgd", "ip-sgd", "adam"):
        assert drawn[method][1] == fo
    # Steps 1 and 3 (counted from 0) are its minibatch steps, of four losses each.
    assert drawn["mezo-svrg"][0][::2][:2] == zo[1::2]
    assert len({str(b) for b in zo}) == STEPS
    assert [sorted(b) for b in zo] != [sorted(b) for b in fo]


def test_an_empty_pool_is_refused_before_training(batches):
    for changes, named in (
        ({"length_threshold": 150}, "zo_batch_size = 3"),
        ({"length_threshold": 1}, "fo_batch_size = 2"),
    ):
        with pytest.raises(UserError, match=named) as error:
            row_of(tiny("addax", **changes))
        assert "\n" not in str(error.value)
        assert "sst2" in str(error.value)
    assert batches == []


def test_a_model_that_the_method_cannot_train_is_refused(monkeypatch):
    def frozen(*args, **kwargs):
        loaded = original(*args, **kwargs)
        loaded.model.requires_grad_(False)
        return loaded

    original = models.load
    monkeypatch.setattr(models, "load", frozen)
    with pytest.raises(UserError, match=r"sgd on nano-opt: .* no trainable parameter"):
        row_of(tiny("sgd"))


def broken_at(monkeypatch, steps, per_step):
    """Training losses are not finite in these steps; the model's own otherwise."""
    loss, calls = Scorer.loss, []

    def wrapped(self, batch):
        calls.append(len(batch))
        return loss(self, batch) * (math.nan if (len(calls) - 1) // per_step in steps else 1.0)

    monkeypatch.setattr(Scorer, "loss", wrapped)


@pytest.mark.parametrize("method", ["addax", "mezo", "ip-sgd", "sgd", "adam"])
def test_a_few_losses_that_are_not_finite_are_skipped_and_counted(monkeypatch, method):
    per_step = COUNTS[method][0] // STEPS
    broken_at(monkeypatch, {1, 2, 22}, per_step)
    row = row_of(tiny(method, steps=22))
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("done", 22, 2)
    assert math.isfinite(row["curve"][-1]["loss"])
    assert all(0 < point["train_loss"] < 10 for point in row["curve"][1:])


@pytest.mark.parametrize("method", ["addax", "mezo", "ip-sgd", "sgd", "adam"])
def test_twenty_in_a_row_end_the_run_with_its_reason(monkeypatch, method):
    per_step = COUNTS[method][0] // STEPS
    broken_at(monkeypatch, {0, *range(2, 50)}, per_step)
    row = row_of(tiny(method, steps=60, evaluations=1))
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("failed", 22, 21)
    assert "not finite in 20 steps" in row["reason"]
    assert (row["score"], row["test"], row["validation"], row["best_step"]) == (None, None, None, None)
    assert len(row["curve"]) == 1
    json.dumps(row)


CONFIGS = {
    "opt": OPTConfig(
        vocab_size=40, hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=2,
        num_attention_heads=2, dropout=0.3, attention_dropout=0.3, layerdrop=0.3,
    ),
    "gpt2": GPT2Config(
        vocab_size=40, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.3, embd_pdrop=0.3, attn_pdrop=0.3,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
    "llama": LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        attention_dropout=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
    "roberta": RobertaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", registry.files("model"))
@pytest.mark.parametrize("head", ["lm", "classification"])
def test_dropout_off_is_no_eval_and_equals_it(family, head):
    labels = 2 if head == "classification" else None
    model = models.build(CONFIGS[family], dtype=torch.float32, head=head, num_labels=labels)
    tokens = torch.arange(3, 13)[None]
    dropout = Dropout(model)
    with torch.no_grad():
        assert not torch.equal(model(tokens).logits, model(tokens).logits)
        with dropout.off():
            assert all(module.training for module in model.modules())
            first, second = model(tokens).logits, model(tokens).logits
        assert not torch.equal(model(tokens).logits, model(tokens).logits)
        assert torch.equal(first, second)
        assert torch.equal(first, model.eval()(tokens).logits)


@pytest.mark.usefixtures("predicted")
@pytest.mark.parametrize(
    ("method", "head"), [*((method, "lm") for method in METHODS), ("addax", "classification")]
)
def test_gpt2_trains_by_every_method_and_its_memory_is_predicted(tmp_path, method, head):
    """It has no built-in model: one of random weights, in a folder as a user's own."""
    family = models.families()["gpt2"]
    tokenizer = _nano.tokenizer(family, _language.vocabulary(), 160)
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    pretrain.save(models.build(family.nano(tokenizer), dtype=torch.float32), tokenizer, tmp_path)
    row = row_of(tiny(method, model=str(tmp_path), head=head))
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("done", STEPS, 0)
    assert row["peak_predicted"] == pytest.approx(row["peak_bytes"], rel=0.3)


def test_dropout_comes_back_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(0.25))

    def broken():
        with Dropout(model).off():
            assert model[0].p == 0
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert model[0].p == 0.25


def folder_with(path, **changes):
    """A copy of nano-opt with another configuration."""
    shutil.copytree(models.WEIGHTS / "nano-opt", path)
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return str(path)


@pytest.mark.parametrize("dropout", [True, False])
def test_zeroth_order_losses_never_drop_and_first_order_ones_as_told(tmp_path, monkeypatch, dropout):
    name = folder_with(tmp_path / "dropping", dropout=0.5)
    loss, equal = Scorer.loss, {True: set(), False: set()}

    def twice(self, batch):
        assert self.model.training
        first, second = loss(self, batch), loss(self, batch)
        equal[torch.is_grad_enabled()].add(first.item() == second.item())
        return first

    monkeypatch.setattr(Scorer, "loss", twice)
    assert row_of(tiny("addax", model=name, dropout=dropout))["status"] == "done"
    assert equal == {False: {True}, True: {not dropout}}


@pytest.mark.parametrize("method", [m for m in METHODS if "fo_loss" in method_class(m).closures])
def test_gradient_checkpointing_changes_memory_and_no_loss(method, monkeypatch):
    layers = []

    def load(*args, **kwargs):
        loaded = original(*args, **kwargs)
        loaded.model.model.decoder.layers[0].fc1.register_forward_hook(
            lambda *_: layers.append(torch.is_grad_enabled())
        )
        return loaded

    original = models.load
    monkeypatch.setattr(models, "load", load)
    rows, recomputed = [], []
    for checkpointing in (False, True):
        layers.clear()
        rows.append(
            row_of(tiny(method, task="boolq", fo_batch_size=8, gradient_checkpointing=checkpointing, lr=1e-2))
        )
        recomputed.append(sum(layers))
    plain, checkpointed = rows
    # The heaviest step is run once more for the memory.
    assert recomputed == [STEPS + 1, 2 * (STEPS + 1)]
    for a, b in zip(plain["curve"], checkpointed["curve"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-6)
    assert checkpointed["peak_bytes"] < plain["peak_bytes"]


def test_peaks_are_ordered_as_the_methods_say(tmp_path):
    """Deep and narrow with short inputs: parameters weigh more than activations."""
    config = models.load_config("nano-opt")
    config.num_hidden_layers, config.hidden_size, config.word_embed_proj_dim = 12, 96, 96
    config.ffn_dim = 384
    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "deep")
    models.build(config, dtype=torch.float32).save_pretrained(tmp_path / "deep")
    one = {"model": str(tmp_path / "deep"), "steps": 1, "evaluations": 1, "eval_batch_size": 1}
    one |= {"train_rows": 6, "validation_rows": 1, "test_rows": 1}
    peak, weights = {}, None
    for method in METHODS:
        row = row_of(tiny(method, **one))
        peak[method], weights = row["peak_bytes"], 4 * row["parameters"]
    assert peak["mezo"] < peak["sgd"]
    assert peak["ip-sgd"] < peak["sgd"] < peak["adam"]
    assert weights < peak["mezo"] < 1.5 * weights
    assert peak["sgd"] >= 2 * weights
    assert peak["adam"] >= 4 * weights
    # theta and its anchor.
    assert 2 * weights < peak["mezo-svrg"] < 2.5 * weights
    assert peak["addax"] < peak["sgd"]


def test_evaluations_do_not_outnumber_steps():
    row = row_of(tiny("sgd", steps=2, evaluations=5))
    assert [point["step"] for point in row["curve"]] == [0, 1, 2]


def test_a_budget_of_seconds_ends_when_they_are_used():
    row = row_of(tiny("sgd", steps=None, seconds=0.05, evaluations=1))
    assert row["steps"] >= 1
    assert row["curve"][-1]["step"] == row["steps"]
    assert row["train_seconds"] >= 0.05


@pytest.fixture
def rates(monkeypatch):
    """The learning rate of every step; the last one is the step that only memory is measured on."""
    seen, step = [], method_class("sgd").step

    def watched(self, **closures):
        seen.append(self.param_groups[0]["lr"])
        return step(self, **closures)

    monkeypatch.setattr(method_class("sgd"), "step", watched)
    return seen


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, [1e-4, 0.75e-4, 0.5e-4, 0.25e-4, 0.0]),
        ({"steps": None, "examples": 3 * FO}, [1e-4, 2e-4 / 3, 1e-4 / 3, 0.0]),
    ],
)
def test_linear_schedule_ends_at_zero_by_whatever_budget_there_is(rates, budget, expected):
    row_of(tiny("sgd", schedule="linear", **budget))
    assert rates == pytest.approx(expected)


# Examples that a step draws, and its forward-equivalents; of MeZO-SVRG the means of its two kinds of step.
DRAWN = {"addax": ZO + FO, "mezo": ZO, "ip-sgd": FO, "sgd": FO, "adam": FO, "mezo-svrg": (ROWS + ZO) / 2}
EQUIVALENTS = {
    "addax": 2 * ZO + 3 * FO,
    "mezo": 2 * ZO,
    "ip-sgd": 3 * FO,
    "sgd": 3 * FO,
    "adam": 3 * FO,
    "mezo-svrg": (2 * ROWS + 4 * ZO) / 2,
}


@pytest.mark.parametrize("method", DRAWN)
def test_what_a_step_draws_and_computes(method):
    row = row_of(tiny(method))
    assert (row["examples"], row["forward_equivalents"]) == (
        STEPS * DRAWN[method],
        STEPS * EQUIVALENTS[method],
    )
    last = row["curve"][-1]
    assert (last["examples"], last["forward_equivalents"]) == (row["examples"], row["forward_equivalents"])
    assert (row["curve"][0]["examples"], row["curve"][0]["forward_equivalents"]) == (0, 0)


@pytest.mark.parametrize("method", ["addax", "ip-sgd"])
def test_a_forward_that_is_computed_again_counts_again(method):
    row = row_of(tiny(method, gradient_checkpointing=True))
    assert row["forward_equivalents"] == STEPS * (EQUIVALENTS[method] + FO)
    assert row["examples"] == STEPS * DRAWN[method]


@pytest.mark.parametrize("method", ["addax", "mezo", "ip-sgd", "mezo-svrg"])
@pytest.mark.parametrize(("budget", "each"), [("examples", DRAWN), ("forward_equivalents", EQUIVALENTS)])
def test_a_budget_of_examples_ends_a_run_with_the_step_that_reaches_it(method, budget, each):
    amount = int(3.5 * each[method])
    row = row_of(tiny(method, steps=None, evaluations=1, **{budget: amount}))
    costs = [each[method]] * STEPS
    if method == "mezo-svrg":
        anchor, other = (ROWS, ZO) if budget == "examples" else (2 * ROWS, 4 * ZO)
        costs = [anchor, other] * (STEPS // 2)
    steps = next(n for n in range(1, STEPS + 1) if sum(costs[:n]) >= amount)
    assert (row["steps"], row[budget]) == (steps, sum(costs[:steps]))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_runs_say_how_much_of_a_step_arrived(dtype):
    row = row_of(tiny("ip-sgd", dtype=dtype, lr=1e-2))
    assert row["status"] == "done"
    assert 0.5 < row["realised_fraction"] < 1.5


@pytest.mark.parametrize(("model", "head"), [("nano-roberta", "lm"), ("nano-roberta", "classification")])
def test_masked_models_train(model, head):
    row = row_of(tiny("addax", model=model, head=head))
    assert row["status"] == "done"
    assert row["forwards"] == 3 * STEPS


def test_progress_grows_to_the_whole():
    spec, seen = tiny("sgd"), []
    train.run(
        spec, train.load(spec, None), suite="test", progress=lambda share, text: seen.append((share, text))
    )
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all(text for _, text in seen)
