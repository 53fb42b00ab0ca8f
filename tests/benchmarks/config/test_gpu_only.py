"""Tests of the code that no fingerprint of a run on a CPU covers: such a run calls none of it."""

import sys
from pathlib import Path

import pytest

from benchmarks.config import fingerprint
from benchmarks.registry import ROOT
from tests.benchmarks.config.test_fingerprint import SPECS, changed, spec_of
from tests.benchmarks.training.tiny_runs import row_of, tiny

FILES = [
    file
    for name in fingerprint.GPU_ONLY
    for file in (sorted((ROOT / name).glob("*.py")) if name.endswith("/") else [ROOT / name])
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_kernels_count_only_on_a_gpu(monkeypatch, file):
    monkeypatch.setitem(SPECS, "on a GPU", spec_of("mezo", device="cuda"))
    assert changed(monkeypatch, file.relative_to(ROOT)) == {"on a GPU"}


@pytest.mark.medium
@pytest.mark.parametrize("method", ["addax", "mezo", "mezo-svrg"])
def test_a_run_on_a_cpu_calls_no_function_of_the_kernels(method):
    called = set()

    def profile(frame, event, _argument):
        # An import calls the body of a module.
        if event == "call" and frame.f_code.co_name != "<module>":
            called.add(Path(frame.f_code.co_filename))

    sys.setprofile(profile)
    try:
        row = row_of(tiny(method, dtype="bfloat16"))
    finally:
        sys.setprofile(None)
    assert (row["status"], row["realized_fraction"] is None) == ("done", False)
    assert ROOT / "addax/update.py" in called
    assert called.isdisjoint(FILES)
