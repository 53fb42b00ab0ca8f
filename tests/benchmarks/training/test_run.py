"""Tests of rows: the fields of every method's row, and the meaning of its counters."""

import json
import shutil
import weakref
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from benchmarks import models, registry, tasks
from benchmarks.config import labels
from benchmarks.config.methods import method_class
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.models import _transformers
from benchmarks.synthetic import nano_tokenizer as _nano
from benchmarks.synthetic import pretrain
from benchmarks.tasks import _language
from benchmarks.training import run as train
from tests.benchmarks.training.predictions import predicted
from tests.benchmarks.training.tiny_runs import COUNTS, ROWS, STEPS, lengths_of, row_of, tiny

METHODS = tuple(registry.files("method"))
TIMES = {"started", "ended", "wall_seconds", "step_seconds", "train_seconds", "train_seconds_to_best"}
TIMES |= {"eval_seconds"}


@pytest.mark.medium
@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_every_method_is_complete(method):
    spec = tiny(method)
    row = json.loads(json.dumps(row_of(spec)))
    assert (row["status"], row["reason"], row["suite"]) == ("done", None, "test")
    assert row["id"] == spec.id
    assert from_dict(row["config"]).id == spec.id
    assert row["label"] == labels.label(spec)
    assert (row["task_title"], row["metric"]) == ("SST-2", "accuracy")
    task = tasks.load("sst2")
    assert (row["task_version"], row["generator_version"]) == (task.version, task.generator_version)
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
    assert (row["steps"], row["skipped_steps"], row["realized_fraction"]) == (STEPS, 0, None)
    assert row["parameters"] * 4 < row["peak_bytes"] < row["parameters"] * 4 * 20
    assert row["peak_how"] == "cpu live tensor bytes"
    assert row["schema"] == 2
    assert set(row["heaviest_batches"]) == {
        name.removesuffix("_loss") for name in method_class(method).closures
    }
    assert row["train_rows"] == row["d0_rows"] == row["d1_rows"] == ROWS
    assert row["started"] <= row["ended"]
    assert row["versions"]["torch"] == torch.__version__
    assert set(row) >= {"hardware", "threads", "git_commit", "git_dirty", "jobs", "heaviest_batches"}
    assert len(row["data_fingerprint"]) == len(row["source_fingerprint"]) == 16
    if method in COUNTS:
        assert (row["forwards"], row["backwards"], row["examples_forward"]) == COUNTS[method]


@pytest.mark.parametrize(
    ("method", "given", "share"),
    [
        ("adam", {"long_above": "q0.75"}, 0.75),
        ("addax", {"length_threshold": "q0.5"}, 0.5),
        ("addax", {"length_threshold": "q0.5", "long_above": "q0.75"}, 0.75),
        (ZERO_SHOT, {"long_above": "q0.5"}, 0.5),
    ],
)
def test_a_row_with_a_threshold_has_the_scores_of_long_and_of_short_test_rows(method, given, share):
    spec = tiny(method, test_rows=40, **given)
    row = row_of(spec)
    limit = sorted(lengths_of(spec, "train"))[int(ROWS * share) - 1]
    lengths = lengths_of(spec, "test")
    long, short = row["test_long"], row["test_short"]
    assert row["long_above_tokens"] == limit
    assert (long["n"], short["n"]) == (sum(n > limit for n in lengths), sum(n <= limit for n in lengths))
    for name in ("score", "loss"):
        total = long["n"] * long[name] + short["n"] * short[name]
        assert total / 40 == pytest.approx(row["test"][name])
    assert row["train_rows"] == ROWS


MAJORITY = {"accuracy": lambda golds, label: sum(g == label for g in golds) / len(golds),
            "class_f1": lambda golds, label: 2 * sum(golds) / (sum(golds) + len(golds)) if label else 0.0,
            "matthews": lambda golds, label: 0.0}  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("metric", MAJORITY)
def test_a_row_has_the_majority_scores_of_the_rows_and_the_metric_of_its_scores(metric):
    spec = tiny("adam", test_rows=40, long_above="q0.5", metric=metric)
    row, parts = row_of(spec), train.load(spec, None)
    assert row["metric"] == metric
    counts = Counter(example.gold for example in parts.train)
    label = 0 if counts[0] >= counts[1] else 1
    assert counts.total() == ROWS
    lengths = lengths_of(spec, "test")
    golds = [example.gold for example in parts.test]
    groups = {
        "majority": golds,
        "majority_validation": [example.gold for example in parts.validation],
        "majority_long": [g for g, n in zip(golds, lengths, strict=True) if n > row["long_above_tokens"]],
        "majority_short": [g for g, n in zip(golds, lengths, strict=True) if n <= row["long_above_tokens"]],
    }
    assert {len(group) for group in groups.values()} == {40, 8, row["test_long"]["n"], row["test_short"]["n"]}
    for name, group in groups.items():
        assert row[name] == pytest.approx(MAJORITY[metric](group, label)), name


@pytest.mark.medium
def test_a_run_that_crashed_has_majority_scores_and_no_score():
    spec = tiny("adam")
    row = train.unfinished_row(spec, train.load(spec, None), "test", "it crashed")
    finished = row_of(spec)
    assert (row["score"], row["majority"]) == (None, finished["majority"])
    assert finished["majority_long"] is None


def test_a_part_without_test_rows_has_no_score():
    above = row_of(tiny(ZERO_SHOT, long_above=150))
    assert (above["test_long"], above["test_short"]) == (None, above["test"])
    without = row_of(tiny(ZERO_SHOT))
    assert [without[name] for name in ("test_long", "test_short", "long_above_tokens")] == [None] * 3
    assert without["test"] == above["test"]


def test_svrg_evaluates_640_examples_per_step_in_the_setting_of_the_paper():
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
    # Steps with a learning rate of zero change nothing.
    assert row_of(tiny("sgd", lr=0.0))["test"] == row["test"]


@pytest.mark.medium
@pytest.mark.parametrize("method", METHODS)
def test_equal_specs_give_equal_numbers(method):
    def numbers(row):
        curve = [{k: v for k, v in point.items() if k != "train_seconds"} for point in row["curve"]]
        return {k: v for k, v in row.items() if k not in TIMES} | {"curve": curve}

    first = numbers(row_of(tiny(method)))
    assert numbers(row_of(tiny(method))) == first
    other = numbers(row_of(tiny(method, data_seed=1)))
    assert other["curve"][-1]["loss"] != first["curve"][-1]["loss"]


@pytest.mark.medium
@pytest.mark.parametrize("method", METHODS)
def test_the_heaviest_batches_of_a_row_predict_its_peak(method):
    row = row_of(tiny(method))
    prediction = predicted(row)
    # The tolerance covers the state of generators, which no operator creates.
    assert prediction.peak_bytes == pytest.approx(row["peak_bytes"], rel=2e-3)
    assert sum(prediction.split.values()) == prediction.peak_bytes


@pytest.mark.medium
@pytest.mark.parametrize(
    ("method", "head"), [*((method, "lm") for method in METHODS), ("addax", "classification")]
)
def test_every_method_trains_gpt2(tmp_path, method, head):
    """No GPT-2 model is built in, so the test saves one with random weights to a folder."""
    family = models.families()["gpt2"]
    tokenizer = _nano.tokenizer(family, _language.vocabulary(), 160)
    _transformers.prepare_tokenizer(tokenizer, family.masked)
    pretrain.save(models.build(family.nano(tokenizer), dtype=torch.float32), tokenizer, tmp_path)
    row = row_of(tiny(method, model=str(tmp_path), head=head))
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("done", STEPS, 0)
    assert predicted(row).peak_bytes == pytest.approx(row["peak_bytes"], rel=0.3)


@pytest.mark.parametrize(("model", "head"), [("nano-roberta", "lm"), ("nano-roberta", "classification")])
def test_masked_models_train(model, head):
    row = row_of(tiny("addax", model=model, head=head))
    assert row["status"] == "done"
    assert row["forwards"] == 3 * STEPS


@pytest.mark.slow
def test_peak_memory_is_ordered_mezo_sgd_adam(tmp_path):
    """The model is deep and narrow, and inputs are short, so parameters take more memory than activations."""
    config = models.load_config("nano-opt")
    config.num_hidden_layers, config.hidden_size, config.word_embed_proj_dim = 12, 96, 96
    config.ffn_dim = 384
    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "deep")
    models.build(config, dtype=torch.float32).save_pretrained(tmp_path / "deep")
    changes = {"model": str(tmp_path / "deep"), "steps": 1, "evaluations": 1, "eval_batch_size": 1}
    changes |= {"train_rows": 6, "validation_rows": 1, "test_rows": 1}
    peak, weights = {}, None
    for method in METHODS:
        row = row_of(tiny(method, **changes))
        peak[method], weights = row["peak_bytes"], 4 * row["parameters"]
    assert peak["mezo"] < peak["sgd"]
    assert peak["ip-sgd"] < peak["sgd"] < peak["adam"]
    assert weights < peak["mezo"] < 1.5 * weights
    assert peak["sgd"] >= 2 * weights
    assert peak["adam"] >= 4 * weights
    # The parameters and the anchor.
    assert 2 * weights < peak["mezo-svrg"] < 2.5 * weights
    assert peak["addax"] < peak["sgd"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_runs_report_the_realized_fraction(dtype):
    row = row_of(tiny("ip-sgd", dtype=dtype, lr=1e-2))
    assert row["status"] == "done"
    assert 0.5 < row["realized_fraction"] < 1.5


def test_a_finished_run_leaves_no_pinned_memory_to_the_next_one(monkeypatch):
    """Pinned buffers return to the system only if nothing refers to them and torch's cache is emptied."""
    trainers, calls = [], []

    class Watched(train.Trainer):
        def train(self):
            trainers.append(weakref.ref(self))
            super().train()

    def empty_host_cache():
        calls.append([trainer() for trainer in trainers])

    cuda = SimpleNamespace(is_initialized=lambda: True, empty_cache=lambda: None)
    library = SimpleNamespace(
        cuda=cuda, _C=SimpleNamespace(_host_emptyCache=empty_host_cache), float32=torch.float32
    )
    monkeypatch.setattr(train, "torch", library)
    monkeypatch.setattr(train, "Trainer", Watched)
    row_of(tiny("sgd"))
    assert calls == [[None]]
