"""Test of what the page about memory says of MeZO's peak on OPT-13B."""

import torch

from addax import Addax
from addax.update import MEASURED
from benchmarks import models
from benchmarks.registry import ROOT


def test_the_page_states_the_copies_of_the_measured_step():
    model = models.build(models.shape_of("facebook/opt-13b"), dtype=torch.bfloat16, device="meta")
    copied = sum(min(p.numel(), MEASURED) * p.element_size() for p in model.parameters())
    page = " ".join((ROOT / "docs/results/memory.md").read_text().split())
    assert f"Every {Addax.MEASURE_EVERY}th step of a 16-bit run" in page
    assert f"copies up to 2^{MEASURED.bit_length() - 1} weights of each parameter" in page
    assert f"On OPT-13B these copies take {copied / 1e9:.1f} GB" in page
    choosing = " ".join((ROOT / "docs/choosing.md").read_text().split())
    assert f"GB, {copied / 1e9:.1f} of which are copies" in choosing
