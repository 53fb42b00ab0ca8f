"""Tests of what a method gets to fit in memory, against peaks predicted one by one."""

import pytest

from benchmarks.compare.fit import fit, usable
from benchmarks.config.spec import from_dict
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.errors import UserError
from benchmarks.memory import search
from benchmarks.models import load_tokenizer
from benchmarks.tasks import load

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def rows():
    splits = load_splits("squad", "builtin", train=14, validation=4, test=4, seed=0)
    return encode(splits.train, load("squad"), load_tokenizer("nano-opt"), "lm")


def spec_of(method, **values):
    return from_dict(
        {"method": method, "model": "nano-opt", "task": "squad", "lr": 1e-3, "steps": 1, **values}
    )


def peak(spec, rows, sizes=None, threshold=None):
    """Predict the peak of a run with its own batch sizes, or with others."""
    own = {name: spec.settings[name] for name in ("zo_batch_size", "fo_batch_size") if name in spec.settings}
    sizes = own | (sizes or {}) | {"eval_batch_size": spec.eval_batch_size}
    return search.peak_of(spec, rows, sizes, threshold, "cpu").peak_bytes


@pytest.mark.parametrize("method", ["mezo", "ip-sgd", "adam", "addax"])
def test_a_method_that_fits_is_unchanged(method, rows):
    spec = spec_of(method)
    found = fit(spec, [rows], peak(spec, rows))
    assert (found.fits, dict(found.values), found.peak_bytes) == (True, {}, peak(spec, rows))


def test_gradient_checkpointing_comes_before_smaller_batches(rows):
    spec = spec_of("ip-sgd")
    limit = peak(spec, rows) - 1
    found = fit(spec, [rows], limit)
    assert found.values == {"gradient_checkpointing": True}
    assert found.peak_bytes == peak(spec.replace(gradient_checkpointing=True), rows) <= limit


def test_a_batch_is_the_largest_that_fits(rows):
    spec = spec_of("mezo")
    limit = peak(spec, rows, {"zo_batch_size": 5})
    found = fit(spec, [rows], limit)
    assert found.values == {"zo_batch_size": 5}
    assert peak(spec, rows, {"zo_batch_size": 6}) > limit


def test_a_method_with_two_batches_gets_the_largest_threshold_that_fits(rows):
    spec = spec_of("addax")
    lengths = sorted({row.length for row in rows})
    limit = (peak(spec, rows, threshold=lengths[5]) + peak(spec, rows)) // 2
    fitting = [n for n in lengths[:-1] if peak(spec, rows, threshold=n) <= limit]
    found = fit(spec, [rows], limit)
    assert found.values == {"length_threshold": max(fitting)}


def test_a_given_threshold_is_kept(rows):
    spec = spec_of("addax", length_threshold="q0.5")
    found = fit(spec, [rows], 10**9)
    assert found.fits
    assert found.values == {}


def test_a_method_that_does_not_fit_with_single_rows_says_what_it_needs(rows):
    spec = spec_of("adam")
    least = peak(spec.replace(gradient_checkpointing=True), rows, {"fo_batch_size": 1})
    found = fit(spec, [rows], least - 1)
    assert (found.fits, found.peak_bytes) == (False, least)
    assert fit(spec, [rows], least).values == {"fo_batch_size": 1, "gradient_checkpointing": True}


def test_a_gpu_keeps_a_reserve():
    assert usable("24GB", "cpu") - usable("24GB", "cuda") == 1_500_000_000
    with pytest.raises(UserError, match="reserved for the CUDA context"):
        usable("1GB", "cuda:0")


def test_the_memory_of_several_devices_is_no_limit():
    with pytest.raises(UserError, match="--memory is the limit of one device"):
        usable("24GB", "auto")


def test_a_method_fits_the_rows_of_every_seed(rows):
    ranked = sorted(rows, key=lambda row: row.length)
    short, long = ranked[: len(rows) // 2], ranked[len(rows) // 2 :]
    spec = spec_of("mezo")
    limit = peak(spec, short)
    assert fit(spec, [short], limit).values == {}
    sizes = fit(spec, [short, long], limit).values
    assert sizes["zo_batch_size"] < spec.settings["zo_batch_size"]
    assert fit(spec, [long], limit).values == sizes


def test_a_chosen_threshold_leaves_a_long_row_in_the_draw_of_every_seed(rows):
    ranked = sorted(rows, key=lambda row: row.length)
    short, spec = ranked[:-4], spec_of("addax")
    least = min(row.length for row in ranked[-4:])
    assert max(row.length for row in short) < least
    limit = (peak(spec, rows, threshold=least) + peak(spec, rows)) // 2
    assert fit(spec, [rows], limit).values["length_threshold"] >= least
    threshold = fit(spec, [rows, short], limit).values["length_threshold"]
    assert threshold == max(row.length for row in short if row.length < short[-1].length)
