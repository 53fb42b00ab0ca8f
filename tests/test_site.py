"""The documentation site builds strictly, without torch, and its successor builds the same pages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.test_imports import ROOT

pytestmark = pytest.mark.process
# Fails if anything imports torch.
BUILD = """
import sys
sys.modules["torch"] = None
from mkdocs.__main__ import cli
cli(["build", "--strict", "--quiet", "--site-dir", sys.argv[1]])
"""


def names(entries):
    """Return the files that the navigation lists."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else names(value)


def pages(site):
    """Return the pages of a built site."""
    return sorted(file.relative_to(site).as_posix() for file in site.rglob("*.html"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site with mkdocs; a warning, such as a broken link, fails the build."""
    out = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, out], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_page_is_built_and_in_the_navigation(site):
    # The tags of other extensions are not needed here.
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(names(config["nav"]))
    assert listed == {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    built = {re.sub(r"(^|/)index\.html$", r"\1", page) for page in pages(site)}
    for name in listed:
        assert re.sub(r"(^|/)index\.md$", r"\1", name).replace(".md", "/") in built


@pytest.mark.parametrize("module", ["addax", "baselines", "benchmarks"])
def test_the_reference_shows_every_object_that_a_page_names(site, module):
    source = (ROOT / "docs" / "reference" / f"{module}.md").read_text(encoding="utf-8")
    html = (site / "reference" / module / "index.html").read_text(encoding="utf-8")
    found = re.findall(r"^::: (\S+)", source, re.M)
    assert len(found) >= 5
    for name in found:
        assert f'id="{name}"' in html


def test_the_reference_shows_arguments_and_examples(site):
    html = (site / "reference" / "addax" / "index.html").read_text(encoding="utf-8")
    assert "weight of the zeroth-order part" in html
    assert "Addax" in html
    assert "Examples" in html


def test_no_page_needs_another_server(site):
    for page in pages(site):
        html = (site / page).read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', html) == [], page


@pytest.mark.slow
def test_zensical_builds_the_same_pages(site, tmp_path):
    for name in ("docs", "addax", "baselines", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    program = Path(sys.executable).with_name("zensical")
    done = subprocess.run([program, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pages(tmp_path / "site") == pages(site)
