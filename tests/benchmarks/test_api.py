"""Tests of the public names that extensions of the suite import from `benchmarks`."""

import subprocess
import sys

import pytest

import benchmarks
from benchmarks import config, models, registry, studies, tasks
from benchmarks.config import spec


def test_every_public_name_comes_from_its_module():
    from benchmarks import Family, Hub, Option, RunSpec, Study, Task, from_dict

    assert (RunSpec, from_dict) == (spec.RunSpec, spec.from_dict)
    assert (Task, Hub) == (tasks.Task, tasks.Hub)
    assert Family is models.Family
    assert (Study, Option) == (studies.Study, studies.Option)
    assert set(benchmarks.__all__) == set(benchmarks._MODULES)
    assert benchmarks.config is config


def test_an_unknown_name_raises_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Tsak'"):
        _ = benchmarks.Tsak


def test_importing_the_package_loads_no_other_package():
    code = (
        "import sys, benchmarks; print(len({'torch', 'pandas', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=registry.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"
