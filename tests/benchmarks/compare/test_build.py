"""Tests of what the methods of a comparison get from the command line."""

import pytest
import torch

from benchmarks.compare.build import build, run_values, trained_parameters
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.models import _trainable, load

GIVEN = {"model": "nano-opt", "task": "sst2", "data": "builtin", "device": "cpu", "steps": 10}


def test_a_value_goes_to_the_methods_that_have_a_use_for_it():
    given = {"length_threshold": "q0.5", "gradient_checkpointing": True, "eps": 1e-2, "fo_batch_size": 3}
    common, own = run_values(["addax", "mezo", "adam"], GIVEN | {"dtype": "bfloat16"} | given)
    assert common == GIVEN | {"dtype": "bfloat16"}
    assert own == {
        "addax": given,
        "mezo": {"eps": 1e-2},
        "adam": {"gradient_checkpointing": True, "fo_batch_size": 3},
    }


def test_a_value_that_no_method_can_have_is_an_error_that_names_its_owners():
    with pytest.raises(UserError, match="adam does not take alpha: it is a setting of addax"):
        run_values(["adam", "mezo"], GIVEN | {"alpha": 0.5})
    with pytest.raises(UserError, match="did you mean 'eps'"):
        run_values(["mezo"], GIVEN | {"epz": 0.5})


@pytest.mark.parametrize("changes", [{}, {"trainable": "lora:4"}, {"head": "classification"}])
def test_trained_parameters_are_counted_without_weights(changes):
    """A head with two classes is that of SST-2."""
    spec = from_dict(GIVEN | {"method": "adam", "lr": 1e-3} | changes)
    labels = 2 if spec.head == "classification" else None
    model = load("nano-opt", dtype=torch.float32, device="cpu", head=spec.head, num_labels=labels)
    _trainable.select(model.model, spec.trainable)
    assert trained_parameters(spec) == sum(p.numel() for p in model.model.parameters() if p.requires_grad)


def test_a_comparison_says_which_methods_are_left_out():
    common, own = run_values(["mezo", "adam"], GIVEN)
    arguments = {"seeds": 1}
    comparison, fits = build(
        "mine", arguments, "builtin", common, own,
        seeds=1, memory="3MB", centers={"mezo": 1e-2}, constants={}, say=lambda line: None,
    )  # fmt: skip
    assert [(found.method, found.fits) for found in fits] == [("mezo", True), ("adam", False)]
    assert comparison.about.endswith("at most 3MB; adam left out (too large).")
    assert (list(comparison.methods), comparison.centers) == (["mezo"], {"mezo": 1e-2})
    # Five trials of the method that fits, one run of it, and zero-shot.
    assert len(comparison.expected()) == 7
