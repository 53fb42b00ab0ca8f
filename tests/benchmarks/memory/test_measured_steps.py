"""Test of the memory that the measurement of the realized fraction takes."""

import torch

from addax import fused_update
from benchmarks import models


def test_the_copies_of_a_measured_step_take_what_the_docstring_says():
    model = models.build(models.shape_of("facebook/opt-13b"), dtype=torch.bfloat16, device="meta")
    copied = sum(min(p.numel(), fused_update.MEASURED) * p.element_size() for p in model.parameters())
    assert f"parameter: {copied / 1e6:.0f} MB on OPT-13B" in fused_update.__doc__
