"""Tests of the study of lengths: its counts agree with those of training."""

import json
from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch

from benchmarks import models, studies, tasks
from benchmarks.config.spec import from_dict
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.studies import lengths
from benchmarks.training import run as train
from tests.benchmarks.results import result_rows as made


@pytest.fixture(scope="module")
def rows():
    """Return rows of the built-in examples with two tokenizers, and the messages."""
    messages = []
    return lengths.measure_source("builtin", ["nano-opt", "nano-roberta"], messages.append), messages


def row_of(rows, task, tokenizer):
    (row,) = (r for r in rows if (r["task"], r["tokenizer"]) == (task, tokenizer))
    return row


def test_a_tokenizer_without_its_model_encodes_equally():
    task = tasks.load("rte")
    examples = load_splits("rte", "builtin", train=20, validation=1, test=1, seed=0).train
    for name in ("nano-opt", "nano-roberta"):
        whole = models.load(name, dtype=torch.float32, device="cpu", head="lm")
        tokenizer = models.load_tokenizer(name)
        assert (tokenizer.model, tokenizer.max_length, tokenizer.family) == (
            None,
            whole.max_length,
            whole.family,
        )
        assert encode(examples, task, tokenizer, "lm") == encode(examples, task, whole, "lm")


@pytest.mark.medium
def test_l_t_and_the_sizes_of_d0_and_d1_are_those_of_a_run(rows):
    found, _ = rows
    spec = from_dict(
        {"method": "addax", "model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 1, "evaluations": 1}
        | {"length_threshold": lengths.THRESHOLD, "eval_batch_size": 500}
    )
    run = train.run(spec, train.load(spec, None), suite="test")
    row = row_of(found, "sst2", "nano-opt")
    for key in ("length_threshold_tokens", "d0_rows", "d1_rows", "data_fingerprint"):
        assert row[key] == run[key], key
    assert row["n"] == run["train_rows"]


def test_every_task_that_a_model_supports_has_a_row_and_others_are_reported(rows):
    found, messages = rows
    opt = {r["task"] for r in found if r["tokenizer"] == "nano-opt"}
    assert opt == set(made.TITLES)
    assert opt - {r["task"] for r in found if r["tokenizer"] == "nano-roberta"} == {"record", "squad"}
    assert [("ReCoRD" in line or "SQuAD" in line) and "nano-roberta" in line for line in messages] == [
        True
    ] * 2


def test_bins_count_every_example_and_do_not_span_l_t(rows):
    for row in rows[0]:
        edges, counts, at = row["edges"], row["counts"], row["length_threshold_tokens"]
        assert len(edges) == len(counts) + 1 <= lengths.BINS + 3
        assert at + 0.5 in edges
        assert edges[0] < row["minimum"] < row["maximum"] < edges[-1]
        short = sum(n for right, n in zip(edges[1:], counts, strict=True) if right <= at + 0.5)
        assert (short, sum(counts)) == (row["d1_rows"], row["n"])
        assert row["d0_rows"] + row["d1_rows"] == row["n"] == 1000
        assert row["d1_rows"] / row["n"] >= 0.75
        assert row["quantiles"][row["length_threshold"]] == at
        assert {"git_commit", "git_dirty", "versions", "data_fingerprint"} <= row.keys()
        task = tasks.load(row["task"])
        assert (row["task_version"], row["generator_version"]) == (task.version, task.generator_version)


def test_a_model_without_a_language_model_head_trains_a_classification_head(monkeypatch):
    config = SimpleNamespace(architectures=["BertModel"])
    monkeypatch.setattr(lengths.models, "load_config", lambda *_: config)
    assert lengths.head_of("any") == "classification"
    for architectures in (["OPTForCausalLM"], ["RobertaForMaskedLM"], ["GPT2LMHeadModel"], None):
        config.architectures = architectures
        assert lengths.head_of("any") == "lm"


def test_saving_replaces_rows_of_the_same_tokenizer_and_keeps_others(monkeypatch, tmp_path):
    monkeypatch.setattr(store, "REFERENCE", tmp_path)
    monkeypatch.setattr(lengths, "TASKS", ("rte", "wsc"))
    monkeypatch.delenv("ADDAX_DATA", raising=False)
    old = made.lengths((("builtin", "nano-opt"), ("folder", "smollm2-135m")))
    (tmp_path / "lengths.jsonl").write_text("".join(json.dumps(row) + "\n" for row in old))
    rows = lengths.measure(Namespace(data=None, model=["nano-opt"]), print)
    assert studies.save("lengths", rows) == tmp_path / "lengths.jsonl"
    kept = [json.loads(line) for line in (tmp_path / "lengths.jsonl").read_text().splitlines()]
    assert [row for row in kept if row["data"] == "folder"] == sorted(old[9:], key=lambda row: row["task"])
    assert {(row["task"], row["n"]) for row in kept if row["data"] == "builtin"} == {
        ("rte", 1000),
        ("wsc", 1000),
    }
    text = lengths.table(rows)
    assert "L_T (q0.75)" in text
    assert "RTE" in text


def test_the_default_sources_and_models_are_those_that_need_no_download(monkeypatch, tmp_path):
    monkeypatch.delenv("ADDAX_DATA", raising=False)
    assert lengths.data_sources(None) == ["builtin"]
    monkeypatch.setenv("ADDAX_DATA", str(tmp_path))
    assert lengths.data_sources(None) == ["builtin", str(tmp_path)]
    assert lengths.data_sources("hub") == ["hub"]
    assert lengths.models_for("builtin") == ["nano-llama", "nano-opt", "nano-roberta"]
    assert lengths.models_for(str(tmp_path)) == ["smollm2-135m", "minilm-l6"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"data": "/nowhere", "model": None}, "no such data folder: /nowhere"),
        ({"data": "builtin", "model": ["nano-op"]}, "did you mean 'nano-opt'"),
    ],
)
def test_a_wrong_source_or_model_is_named(given, line):
    with pytest.raises(UserError, match=line):
        lengths.measure(Namespace(**given), print)
