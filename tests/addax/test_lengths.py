"""Tests that lengths are read alike from every library's containers, and that other values are rejected."""

import math

import numpy
import pandas
import pytest
import torch

from addax import LengthThreshold, assign
from addax.assignment import choose_length_threshold, quantile
from addax.lengths import token_count, token_counts

LENGTHS = [10, 300, 170, 171]
CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "dict values": lambda n: dict(enumerate(n)).values(),
    "numpy": numpy.array,
    "numpy, 32 bits": lambda n: numpy.array(n, dtype=numpy.int32),
    "numpy, floats": lambda n: numpy.array(n, dtype=float),
    "numpy, a batch of one": lambda n: numpy.array([n]),
    "numpy, a column": lambda n: numpy.array(n)[:, None],
    "numpy scalars": lambda n: [numpy.int64(x) for x in n],
    "tensor": torch.tensor,
    "tensor, a batch of one": lambda n: torch.tensor([n]),
    "scalar tensors": lambda n: [torch.tensor(x) for x in n],
    "series": lambda n: pandas.Series(n, index=[7, 5, 3, 1]),
    "series, floats": lambda n: pandas.Series(n, dtype=float),
    "series, nullable": lambda n: pandas.Series(n, dtype="Int64"),
    "table of one column": lambda n: pandas.DataFrame({"tokens": n}),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_of_the_same_lengths_is_read_alike(container):
    def make():
        return CONTAINERS[container](LENGTHS)

    assert token_counts(make()) == LENGTHS
    assert {type(n) for n in token_counts(make())} == {int}
    assert assign(make(), 170) == assign(LENGTHS, 170)
    assert assign(make(), None) == assign(LENGTHS, None)
    assert assign(make(), "q0.5").length_threshold == quantile(make(), 0.5) == 170
    assert LengthThreshold.parse("q0.75").resolve(make()) == 171
    assert choose_length_threshold(make(), lambda length: length <= 200) == 171


THRESHOLDS = [
    170, "170", 170.0, numpy.int32(170), numpy.float64(170), numpy.array(170), torch.tensor(170),
    torch.tensor(170.0), "q0.5", " Q0.5 ", LengthThreshold(tokens=170), LengthThreshold(quantile=0.5),
]  # fmt: skip


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=repr)
def test_every_form_of_a_threshold_splits_alike(threshold):
    parts = assign(LENGTHS, threshold)
    assert (parts.zo, parts.fo, parts.length_threshold) == ((1, 3), (0, 2), 170)
    assert type(parts.length_threshold) is int


NO_THRESHOLDS = [
    math.nan, math.inf, -1, 0, 170.5, True, 0.7, "0.7", "q", "nan", [170], b"170", numpy.nan,
    numpy.array([170, 180]), torch.tensor(math.nan), torch.tensor([1, 2]), numpy.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("threshold", NO_THRESHOLDS, ids=repr)
def test_other_thresholds_are_rejected_in_one_line(threshold):
    with pytest.raises(ValueError, match=r"^length_threshold .*not ") as error:
        assign(LENGTHS, threshold)
    assert "\n" not in str(error.value)


def test_a_memory_budget_names_what_it_needs():
    with pytest.raises(ValueError, match="length_threshold=auto:40GB requires a memory prediction"):
        assign(LENGTHS, "auto:40GB")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "0 were given"),
        ({"tokens": 5, "quantile": 0.5}, "2 were given"),
        ({"tokens": math.nan}, "positive number of tokens, not nan"),
        ({"tokens": 0}, "positive number of tokens, not 0"),
        ({"quantile": math.nan}, r"quantile must be in \(0, 1\], not nan"),
        ({"quantile": 1.5}, r"quantile must be in \(0, 1\], not 1\.5"),
    ],
)
def test_a_threshold_has_exactly_one_valid_value(given, message):
    with pytest.raises(ValueError, match=message):
        LengthThreshold(**given)


VALUES = {
    "nan": (math.nan, "is nan, not a whole"),
    "inf": (math.inf, "is inf, not a whole"),
    "negative": (-1, "is -1, not a whole"),
    "fraction": (10.5, r"is 10\.5, not a whole"),
    "bool": (True, "is True, not a whole"),
    "None": (None, "is None, not a whole"),
    "text": ("300", "is str, .*pass its number of tokens"),
    "tokens": ([5, 6], "is list, .*pass its number of tokens"),
    "missing": (pandas.NA, "is <NA>, not a whole"),
    "numpy nan": (numpy.float32(math.nan), "is .*nan.*, not a whole"),
    "tensor nan": (torch.tensor(math.nan), "is nan, not a whole"),
}


@pytest.mark.parametrize("value", VALUES)
def test_a_length_that_is_no_whole_number_is_rejected_with_its_position(value):
    bad, message = VALUES[value]
    for threshold in (170, None, "q0.5"):
        with pytest.raises(ValueError, match=f"the length of example 1 {message}") as error:
            assign([10, bad], threshold)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("lengths", [numpy.array([1.0, math.nan]), pandas.Series([1, None])], ids=type)
def test_a_missing_length_in_an_array_is_rejected_with_its_position(lengths):
    with pytest.raises(ValueError, match="the length of example 1 is nan"):
        assign(lengths, 170)


@pytest.mark.parametrize(
    "lengths",
    ["300", b"300", {0: 10}, {10, 300}, 5, None, torch.nn.Linear(1, 1)],
    ids=lambda x: type(x).__name__,
)
def test_other_containers_are_rejected_in_one_line(lengths):
    with pytest.raises(TypeError, match="lengths must contain one number per example in order, not") as error:
        assign(lengths, 170)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(), (2, 3), (1, 2, 3)], ids=str)
def test_a_shape_with_more_than_one_length_per_example_is_rejected(shape):
    for make in (torch.ones, numpy.ones):
        with pytest.raises(ValueError, match=r"lengths has the shape \(.*\): pass one length per example"):
            assign(make(shape), 170)


@pytest.mark.parametrize(
    "lengths", [[], (), numpy.array([]), torch.tensor([]), pandas.Series([], dtype=int)], ids=type
)
def test_no_examples_are_rejected(lengths):
    for call in (lambda: assign(lengths, 170), lambda: quantile(lengths, 0.5)):
        with pytest.raises(ValueError, match="there are no examples"):
            call()


IDS, MASK = [5, 6, 7, 1, 1], [1, 1, 1, 0, 0]


@pytest.mark.parametrize("rows", [lambda x: x, lambda x: [x]], ids=["(L,)", "(1, L)"])
@pytest.mark.parametrize("make", [list, numpy.array, torch.tensor], ids=lambda f: f.__name__)
def test_the_tokens_of_an_example_are_counted_alike(make, rows):
    ids, mask = make(rows(IDS)), make(rows(MASK))
    assert token_count(ids) == 5
    assert token_count(ids, mask) == 3
    assert token_count(make(rows(IDS)), make(rows([True, False, False, False, False]))) == 1


def test_tokens_of_several_examples_or_of_none_are_rejected():
    for ids in ([[1, 2], [3, 4]], torch.ones(2, 3), "text", 5, torch.tensor(5), torch.ones(1, 1, 3)):
        with pytest.raises(ValueError, match=r"input_ids must contain the tokens of one example, .*\(1, L\)"):
            token_count(ids)
    with pytest.raises(ValueError, match="attention_mask has 2 positions, but input_ids has 3"):
        token_count([1, 2, 3], [1, 1])
