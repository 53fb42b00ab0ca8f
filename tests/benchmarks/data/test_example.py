"""Tests of how often each text of a row is rendered: to check it, and to use it if its row is drawn."""

import dataclasses
from collections import Counter

import pytest
import torch

from benchmarks import models, tasks
from benchmarks.data import splits as drawing
from benchmarks.data.example import Example
from benchmarks.data.tokenize import encode
from tests.benchmarks.data.folders import fresh_splits, write_reviews

RENDERERS = ("prompt", "candidates", "gold", "inputs", "cloze")


@pytest.fixture
def rendered(monkeypatch):
    """Count how often each renderer of sst2-cloze renders each row."""
    counts = {name: Counter() for name in RENDERERS}

    def counted(name, render):
        def call(row, *args):
            counts[name][row["sentence"]] += 1
            return render(row, *args)

        return call

    task = tasks.load("sst2-cloze")
    counting = {name: counted(name, getattr(task, name)) for name in RENDERERS}
    counting_task = dataclasses.replace(task, **counting)
    monkeypatch.setattr(tasks, "load", lambda name: counting_task)
    return counts


@pytest.mark.parametrize("name", ["nano-opt", "nano-roberta"])
def test_a_row_of_a_file_is_rendered_once_to_check_it_and_once_more_if_it_is_drawn(tmp_path, rendered, name):
    loaded = models.load(name, dtype=torch.float32, device="cpu", head="lm")
    folder = write_reviews(tmp_path)
    splits = fresh_splits("sst2-cloze", str(folder), train=200, validation=50, test=50, seed=0)
    task = tasks.load("sst2-cloze")
    for part in (splits.train, splits.validation, splits.test):
        assert len(encode(part, task, loaded, "lm")) == len(part)
    for counts in rendered.values():
        assert len(counts) == 2300
        assert Counter(counts.values()) == {
            1: 2300 - 300,
            2: 300 - 3 * drawing.RENDERED_TWICE,
            3: 3 * drawing.RENDERED_TWICE,
        }


def test_built_in_rows_are_rendered_when_they_are_drawn_and_not_again(rendered):
    loaded = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    splits = fresh_splits("sst2-cloze", "builtin", train=20, validation=5, test=5, seed=0)
    before = {name: dict(counts) for name, counts in rendered.items()}
    assert {name: len(counts) for name, counts in before.items()} == dict.fromkeys(RENDERERS, 30)
    for part in (splits.train, splits.validation, splits.test):
        encode(part, tasks.load("sst2-cloze"), loaded, "lm")
    assert {name: dict(counts) for name, counts in rendered.items()} == before


def test_a_cloze_contains_the_mask_of_each_tokenizer():
    example = Example(tasks.load("sst2-cloze"), {"sentence": "a film", "label": 1})
    assert example.cloze("[MASK]") == tasks.load("sst2-cloze").cloze(example.row, "[MASK]")
    assert example.cloze("<mask>") == tasks.load("sst2-cloze").cloze(example.row, "<mask>")


def test_examples_are_equal_if_their_rows_are():
    row = {"sentence": "a film", "label": 1}
    assert Example(tasks.load("sst2"), row) == Example(tasks.load("sst2-cloze"), dict(row))
    assert Example(tasks.load("sst2"), row) != Example(tasks.load("sst2"), row | {"label": 0})
