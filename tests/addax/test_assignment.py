"""Tests of the assignment of examples by length, and of the parser of length thresholds."""

import pytest

from addax.assignment import LengthThreshold, assign, choose_length_threshold, quantile

PARSED = [
    (170, LengthThreshold(tokens=170), 170),
    ("170", LengthThreshold(tokens=170), 170),
    ("q0.7", LengthThreshold(quantile=0.7), "q0.7"),
    (" q0.70 ", LengthThreshold(quantile=0.7), "q0.7"),
    ("q1", LengthThreshold(quantile=1.0), "q1"),
    ("auto:40GB", LengthThreshold(memory="40GB"), "auto:40GB"),
    ("auto:2.5MB", LengthThreshold(memory="2.5MB"), "auto:2.5MB"),
    ("auto: 40 GB", LengthThreshold(memory="40GB"), "auto:40GB"),
    ("q0.3333333333", LengthThreshold(quantile=0.3333333333), "q0.3333333333"),
    ("q0.9999999", LengthThreshold(quantile=0.9999999), "q0.9999999"),
]


@pytest.mark.parametrize(("given", "parsed", "value"), PARSED)
def test_every_form_is_parsed_and_written_back(given, parsed, value):
    threshold = LengthThreshold.parse(given)
    assert threshold == parsed
    assert threshold.value() == value
    assert str(threshold) == str(value)
    assert LengthThreshold.parse(threshold.value()) == threshold
    assert LengthThreshold.parse(threshold) is threshold


@pytest.mark.parametrize("given", [None, "none", "None"])
def test_none_is_parsed_as_no_threshold(given):
    assert LengthThreshold.parse(given) is None


@pytest.mark.parametrize(
    "given", [0, -3, "0", 1.5, True, False, "q", "q0", "q1.5", "qx", "0.7", "", [170], "-170"]
)
def test_every_other_value_is_rejected_in_one_line(given):
    with pytest.raises(ValueError, match=r"^length_threshold .*not") as error:
        LengthThreshold.parse(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["auto:", "auto:40", "auto:GB", "auto:0GB"])
def test_the_error_for_an_invalid_amount_of_memory_names_the_units(given):
    with pytest.raises(ValueError, match=r"use a number and one of MB, GB"):
        LengthThreshold.parse(given)


def test_tokens_resolve_to_themselves():
    assert LengthThreshold(tokens=170).resolve([]) == 170


def test_a_quantile_resolves_to_the_length_that_this_fraction_does_not_exceed():
    lengths = [40, 10, 30, 20]
    assert [LengthThreshold(quantile=q).resolve(lengths) for q in (0.25, 0.26, 0.75, 1.0)] == [10, 20, 30, 40]
    # The quantile uses integer arithmetic, so the rounding of 0.7 * 10 cannot change the result.
    assert quantile(range(1, 11), 0.7) == 7


def test_a_memory_budget_resolves_to_the_largest_length_that_fits():
    threshold = LengthThreshold(memory="40GB")
    assert threshold.resolve([10, 300, 170, 171], lambda length: length <= 200) == 171
    assert threshold.resolve([10, 300], lambda length: True) is None
    with pytest.raises(ValueError, match=r"even a first-order batch .*, 10 tokens, does not fit"):
        threshold.resolve([10, 300], lambda length: False)
    with pytest.raises(ValueError, match="length_threshold=auto:40GB requires a memory prediction"):
        threshold.resolve([10, 300])


def test_the_largest_length_that_fits_is_found_by_bisection():
    calls = []
    lengths = list(range(1, 1001))

    def fits(length):
        calls.append(length)
        return length <= 123

    assert choose_length_threshold(lengths, fits) == 123
    assert len(calls) <= 2 + 10


def test_every_example_is_in_exactly_one_part():
    lengths = [10, 300, 170, 171, 5]
    parts = assign(lengths, 170)
    assert sorted(parts.zo + parts.fo) == list(range(len(lengths)))
    assert all(lengths[i] > 170 for i in parts.zo)
    assert all(lengths[i] <= 170 for i in parts.fo)


def test_without_a_threshold_every_example_is_in_both_parts():
    parts = assign([10, 300], None)
    assert parts.zo == parts.fo == (0, 1)
    assert parts.length_threshold is None
