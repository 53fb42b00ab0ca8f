"""The wheel and the sdist contain `addax` alone, require torch alone, and work without the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from benchmarks.registry import ROOT

pytestmark = pytest.mark.process
README = (ROOT / "README.md").read_text(encoding="utf-8")
LOOP = re.search(r"<!-- example:loop -->\n```python\n(.*?)^```$", README, re.M | re.S).group(1)

USE = """
import importlib.metadata, json, sys
import addax
exec(compile(sys.argv[1], "README.md", "exec"))
print(json.dumps({
    "file": addax.__file__,
    "names": sorted(addax.__all__),
    "requires": importlib.metadata.requires("addax-optim"),
    "step": opt.steps,
    "optional": sorted({"transformers", "baselines", "benchmarks", "plots"} & set(sys.modules)),
}))
"""


def run(*words, folder, stderr=subprocess.PIPE, **options):
    """Return the standard output of a command; fail if it exits with an error."""
    done = subprocess.run(
        [*map(str, words)], cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=200,
        check=False, **options,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build the sdist, and the wheel from it, from a copy of the sources; a warning is an error."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("addax", "baselines", "benchmarks", "plots", "tests", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__", "figures", "weights")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, source)
    # setuptools warns if Python must not write byte code, which is no fault of the project.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    build = [sys.executable, "-W", "error", "-m", "build", "--no-isolation", "--outdir", out, source]
    output = run(*build, folder=out, env=environment, stderr=subprocess.STDOUT)
    assert [line for line in output.splitlines() if "warning" in line.lower()] == []
    return out


@pytest.fixture(scope="module")
def wheel(distributions):
    """Return the wheel."""
    (file,) = distributions.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Create an environment with the wheel and the torch of the tests, and return its interpreter.

    `--system-site-packages` adds the packages of the base interpreter, not those of the environment of the
    tests. A `.pth` file adds the folder of torch as a plain path. Python does not read the `.pth` files in
    that folder, so an editable install of the repository is not visible.
    """
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", home, folder=home)
    installed = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", installed, "install", "--no-deps", "--no-index"]
    run(*pip, wheel, folder=home)
    (packages,) = home.glob("lib/python3*/site-packages")
    (packages / "torch-of-the-tests.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    return installed


def metadata(wheel):
    """Return the METADATA of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_contains_only_addax_and_the_license(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        license_file = next(n for n in names if n.endswith("LICENSE"))
        assert archive.read(license_file) == (ROOT / "LICENSE").read_bytes()
    code = {n for n in names if ".dist-info/" not in n}
    assert code == {p.relative_to(ROOT).as_posix() for p in (ROOT / "addax").rglob("*.py")}
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"


def test_the_wheel_requires_only_torch(wheel):
    lines = [Requirement(line) for line in metadata(wheel).get_all("Requires-Dist")]
    extras = set(metadata(wheel).get_all("Provides-Extra"))
    always = [r for r in lines if r.marker is None]
    assert [r.name for r in always] == ["torch"]
    assert all(re.search(r'extra == "([\w-]+)"', str(r.marker))[1] in extras for r in lines if r.marker)


def test_both_are_named_after_the_distribution_and_pass_the_check_of_the_index(distributions):
    assert metadata(next(distributions.glob("*.whl")))["Name"] == "addax-optim"
    files = sorted(distributions.iterdir())
    assert len(files) == 2
    assert all(re.match(r"addax_optim-[\d.]+(\.tar\.gz|-py3-none-any\.whl)$", file.name) for file in files)
    run(sys.executable, "-m", "twine", "check", "--strict", *files, folder=distributions)


def test_the_sdist_contains_addax_and_what_builds_it(distributions):
    (file,) = distributions.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.split("/")[0] for name in names if name} == {
        "addax", "addax_optim.egg-info", "CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO",
        "README.md", "pyproject.toml", "setup.cfg",
    }  # fmt: skip


def test_the_changelog_and_the_citation_name_the_version(wheel):
    version = metadata(wheel)["Version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert next(name for name in headings if name != "Unreleased") == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_installed_wheel_runs_the_loop_of_the_readme(python, tmp_path):
    loss, report_json = run(python, "-I", "-c", USE, LOOP, folder=tmp_path).splitlines()[:2]
    assert 0 < float(loss) < 100
    report = json.loads(report_json)
    assert Path(report["file"]).is_relative_to(python.parents[1])
    assert {"Addax", "StepStats", "assign"} <= set(report["names"])
    assert report["step"] == 1
    assert report["optional"] == []
    assert [Requirement(r).name for r in report["requires"] if "extra ==" not in r] == ["torch"]
