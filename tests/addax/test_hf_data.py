"""Tests that AddaxTrainer measures and assigns examples in every form in which users have them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import IterableDataset
from transformers import BatchEncoding, default_data_collator

from addax.assignment import LengthThreshold, quantile
from addax.hf_data import token_lengths
from baselines.mezo import MeZO
from tests.addax.trainers import DATA, LENGTHS, LONG, SHORT, STEPS, logged, mixed, trainer
from tests.numerics.oracle import bits, opt_model


@pytest.mark.parametrize("threshold", ["q0.6", "8", 8, np.int64(8), LengthThreshold(tokens=8)], ids=repr)
def test_every_form_of_a_threshold_splits_the_dataset(tmp_path, threshold):
    ours = trainer(tmp_path, **mixed(length_threshold=threshold))
    assert quantile(LENGTHS, 0.6) == 8
    assert token_lengths(ours.zo_dataset) == [n for n in LENGTHS if n > 8]
    assert token_lengths(ours.train_dataset) == [n for n in LENGTHS if n <= 8]


@dataclass
class Features:
    """An example with attributes, like those of transformers' processors."""

    input_ids: list
    attention_mask: list | None = None


FORMS = {
    "list": list,
    "tuple": tuple,
    "numpy": np.array,
    "int32": lambda ids: np.array(ids, dtype=np.int32),
    "torch": torch.tensor,
    "row": lambda ids: torch.tensor([ids]),
    "numpy row": lambda ids: np.array([ids]),
    "list row": lambda ids: [ids],
}


CONTAINERS = {"dict": dict, "tokenized": BatchEncoding, "object": lambda example: Features(**example)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_a_length_counts_tokens_in_every_form(form, masked):
    """Padding is not counted, on either side. Without a mask, every token counts."""
    convert = FORMS[form]
    rows = [([5, 6, 7], [1, 1, 1]), ([5, 6, 1, 1], [1, 1, 0, 0]), ([1, 5], [0, 1]), ([9], [1])]
    examples = [{"input_ids": convert(ids), "attention_mask": convert(mask)} for ids, mask in rows]
    for example in examples:
        if not masked:
            del example["attention_mask"]
    for container in CONTAINERS.values():
        expected = [3, 2, 1, 1] if masked else [3, 4, 2, 1]
        assert token_lengths([container(example) for example in examples]) == expected


def test_a_mask_may_be_boolean_and_ids_may_have_several_rows():
    """A row may be one of several candidates, which all take part in a pass."""
    rows = [
        {"input_ids": torch.tensor([5, 6, 1]), "attention_mask": torch.tensor([True, True, False])},
        {"input_ids": [[5, 6], [7, 1]], "attention_mask": [[1, 1], [1, 0]]},
    ]
    assert token_lengths(rows) == [2, 3]


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
def test_the_parts_of_a_dataset_keep_its_type_and_format(tmp_path, form):
    rows = Dataset.from_list([{k: v for k, v in e.items() if k != "source"} for e in DATA]).with_format(form)
    ours = trainer(tmp_path, **mixed(train_dataset=rows))
    assert token_lengths(rows) == LENGTHS
    for part, expected in ((ours.zo_dataset, LONG), (ours.train_dataset, SHORT)):
        assert isinstance(part, Dataset)
        assert part.column_names == ["input_ids", "labels"]
        assert [list(map(int, row["input_ids"])) for row in part] == [e["input_ids"] for e in expected]


@pytest.mark.parametrize("form", ["torch", "numpy", "row"])
def test_tensors_train_like_lists(tmp_path, form):
    """A batch of one example needs no padding, so the default collator builds it."""
    changes = {"per_device_train_batch_size": 1}
    plain = [{k: e[k] for k in ("input_ids", "labels")} for e in DATA]
    reference = opt_model(torch.float32)
    given = {"zo_batch_size": 1, "data_collator": default_data_collator}
    trainer(tmp_path, reference, changes, **mixed(train_dataset=plain, **given)).train()
    model, convert = opt_model(torch.float32), FORMS[form]
    if form == "row":
        given["data_collator"] = lambda rows: {k: torch.cat([r[k] for r in rows]) for k in rows[0]}
    rows = [{k: convert(v) for k, v in e.items()} for e in plain]
    trainer(tmp_path, model, changes, **mixed(train_dataset=rows, **given)).train()
    assert bits(model) == bits(reference)


class Stream(IterableDataset):
    """A dataset without a length."""

    def __iter__(self):
        return iter(DATA)


def test_a_method_with_one_batch_trains_on_a_stream(tmp_path):
    """It gets the same examples as from a list in this order, and counts none of them in advance."""
    losses = []
    for rows in (DATA, Stream()):
        ours = trainer(tmp_path, train_dataset=rows, optimizer_cls_and_kwargs=(MeZO, {}))
        ours.train()
        losses.append(logged(ours, "loss"))
    assert losses[0] == losses[1]
    assert len(losses[0]) == STEPS
    assert ours.args.optim_args["zo_examples"] is None


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"labels": [1], "words": "?"}, r"example 1 of train_dataset has no input_ids \(labels, words\)"),
        ({"input_ids": None}, r"example 1 .* has no input_ids"),
        (({"input_ids": [1]}, 0), "example 1 .* is not a mapping with input_ids"),
        ({"input_ids": "text"}, "input_ids of example 1 .* are not numbers of one shape"),
        ({"input_ids": [[1, 2], [3]]}, "input_ids of example 1 .* are not numbers of one shape"),
        (
            {"input_ids": [1, 2], "attention_mask": [[1, 0], [1, 1]]},
            r"example 1 .* input_ids of shape \(2,\) and an attention_mask of shape \(2, 2\)",
        ),
    ],
    ids=["other fields", "none", "tuple", "text", "ragged", "mask of pairs"],
)
def test_an_example_without_a_length_is_named(example, message):
    with pytest.raises(ValueError, match=message):
        token_lengths([{"input_ids": [1, 2]}, example])
