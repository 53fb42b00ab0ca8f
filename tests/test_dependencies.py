"""Tests that pyproject.toml declares exactly the packages that the sources use."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.test_imports import PACKAGES, ROOT, imports

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Commands and plugins of the development extra, which no source imports.
TOOLS = {
    "build", "mkdocs", "mkdocs-material", "mkdocstrings-python", "pytest-timeout", "pytest-xdist", "ruff",
    "setuptools", "twine", "zensical",
}  # fmt: skip


def normalized(name: str) -> str:
    """Return the name of a distribution, normalized as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    """Return the names in `dependencies` and in every extra."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return {normalized(re.match(r"[\w.-]+", line)[0]) for lines in lists for line in lines}


def distributions(modules: set[str]) -> set[str]:
    """Return the distributions that provide the given top-level modules."""
    providers = packages_distributions()
    return {normalized(name) for module in modules for name in providers.get(module, [module])}


def imported(folders: tuple[str, ...]) -> set[str]:
    """Return the third-party top-level modules that the files in these folders import."""
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    names = {name.split(".")[0] for file in files for name, _ in imports(ROOT, file)}
    return names - sys.stdlib_module_names - {*PACKAGES, "tests"}


def named_in_strings(file: Path) -> set[str]:
    """Return the string constants of a file, because code may refer to a package by name to open its data."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_sources_import_only_declared_packages():
    assert distributions(imported((*PACKAGES, "examples", "scripts"))) <= declared()


def test_every_declared_package_is_used():
    strings = set().union(*(named_in_strings(file) for file in (ROOT / "benchmarks").rglob("*.py")))
    used = distributions(imported((*PACKAGES, "tests"))) | {normalized(text) for text in strings}
    assert declared() - TOOLS - used == set()
