"""Tests that package imports are acyclic, including imports inside functions.

The graph is read from the sources. A node is a package (`benchmarks.config`), a file at the top level of
`benchmarks` (`benchmarks.registry`), or one of `addax`, `baselines`, and `plots`. Imports for annotations
only (`if TYPE_CHECKING:`) count, too, because whoever reads the signature needs the other package.
"""

import ast
import itertools
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("addax", "baselines", "benchmarks", "plots")


class Import(NamedTuple):
    """An imported module and the line that imports it."""

    module: str
    where: str


def sources(root: Path, packages: tuple[str, ...] = PACKAGES) -> dict[str, Path]:
    """Return the file of every module in the packages, keyed by dotted name."""
    files = [file for package in packages for file in (root / package).rglob("*.py")]
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def imports(root: Path, file: Path) -> Iterator[Import]:
    """Yield all imports in a file. If an imported name is a module, it counts as that module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(level=0):
                names = [
                    f"{node.module}.{alias.name}"
                    if _is_module(root, f"{node.module}.{alias.name}")
                    else node.module
                    for alias in node.names
                ]
            case ast.ImportFrom():
                raise AssertionError(f"{file}:{node.lineno}: write relative imports as absolute ones")
            case ast.Call(
                func=ast.Attribute(attr="import_module" | "importorskip"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                names = [name]
            case _:
                continue
        for name in names:
            yield Import(name, f"{file.relative_to(root)}:{node.lineno}")


def _is_module(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def package_of(module: str) -> str:
    """Return the node of a module; `benchmarks.config.spec` belongs to `benchmarks.config`."""
    parts = module.split(".")
    return ".".join(parts[:2] if parts[0] == "benchmarks" else parts[:1])


def package_graph(root: Path) -> dict[str, dict[str, list[str]]]:
    """Return importing package -> imported package -> descriptions of the import lines."""
    graph: dict[str, dict[str, list[str]]] = {}
    for module, file in sorted(sources(root).items()):
        edges = graph.setdefault(package_of(module), {})
        for name, where in imports(root, file):
            target = package_of(name)
            if target.split(".")[0] in PACKAGES and target != package_of(module):
                edges.setdefault(target, []).append(f"{where} imports {name}")
    return graph


def cycle_of(graph: dict[str, dict[str, list[str]]]) -> list[str]:
    """Return a line per import of one cycle, or an empty list if the graph is acyclic."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists an imported package before the package that imports it.
        nodes = error.args[1][::-1]
        return [
            f"{importer} -> {imported}: " + "; ".join(graph[importer][imported])
            for importer, imported in itertools.pairwise(nodes)
        ]
    return []


def reachable(graph: dict[str, dict[str, list[str]]], package: str) -> set[str]:
    """Return every package that a package imports, directly or indirectly."""
    seen, queue = set(), [package]
    while queue:
        for target in graph.get(queue.pop(), {}):
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return seen


def test_package_imports_are_acyclic():
    cycle = cycle_of(package_graph(ROOT))
    assert not cycle, "an import cycle:\n  " + "\n  ".join(cycle)


@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("addax", {"baselines", "benchmarks", "plots"}),
        ("baselines", {"benchmarks", "plots"}),
        ("benchmarks.training", {"benchmarks.memory", "plots"}),
        ("plots", {"benchmarks.report", "benchmarks.training"}),
    ],
)
def test_a_package_does_not_reach_those_above_it(package, foreign):
    assert reachable(package_graph(ROOT), package) & foreign == set()


def test_addax_imports_only_torch_its_trainer_also_transformers_and_its_kernels_also_triton():
    for file in sorted((ROOT / "addax").rglob("*.py")):
        allowed = {"torch", "addax"} | (
            {"transformers", "accelerate"} if file.name.startswith("hf_") else set()
        )
        allowed |= {"triton"} if file.parent.name == "kernels" else set()
        found = {name.split(".")[0] for name, _ in imports(ROOT, file)} - sys.stdlib_module_names
        assert found <= allowed, file


def write(root, files):
    """Create empty packages and the given files below a folder."""
    for package in PACKAGES:
        (root / package).mkdir()
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_a_cycle_through_an_import_in_a_function_is_reported(tmp_path):
    write(
        tmp_path,
        {
            "benchmarks/a/one.py": "from benchmarks.b import two\n",
            "benchmarks/b/two.py": "def f():\n    import benchmarks.c.three\n",
            "benchmarks/c/three.py": "from benchmarks import a\nfrom benchmarks.a.one import x\n",
        },
    )
    cycle = cycle_of(package_graph(tmp_path))
    assert sorted(cycle) == [
        "benchmarks.a -> benchmarks.b: benchmarks/a/one.py:1 imports benchmarks.b.two",
        "benchmarks.b -> benchmarks.c: benchmarks/b/two.py:2 imports benchmarks.c.three",
        "benchmarks.c -> benchmarks.a: benchmarks/c/three.py:1 imports benchmarks.a; "
        "benchmarks/c/three.py:2 imports benchmarks.a.one",
    ]


def test_modules_of_one_package_may_import_each_other(tmp_path):
    write(tmp_path, {"plots/a.py": "import plots.b\n", "plots/b.py": "import plots.a\n"})
    assert cycle_of(package_graph(tmp_path)) == []
