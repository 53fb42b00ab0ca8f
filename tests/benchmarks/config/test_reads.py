"""Tests that everything a user's files read or import changes the fingerprints of their runs."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import models, registry, tasks
from benchmarks.config import fingerprint, reads
from benchmarks.data import sources, splits
from tests.benchmarks.bad_input.case import Sandbox, clear_caches

TASK = '''"""A task."""
import os, sys
from pathlib import Path
from benchmarks.tasks import Task
HERE = Path(__file__).parent
{code}
TASK = Task(
    title="Mine", version=1, prompt=lambda row: row["text"] + str({value}), from_file=lambda raw: [raw],
    candidates=lambda row: [" no", " yes"], gold=lambda row: row["label"], inputs=lambda row: (row["text"],),
)
'''
ROOT = registry.ROOT
MODULES = ("benchmarks.tasks.helpers", "outside", "outside.inner", "lonely")


class Repository(Sandbox):
    """A temporary copy of the repository with the task `mine`, its rows, and the modules that it imports."""

    def task(self, code: str = "", value: str = "''") -> None:
        """Write the task. It runs `code` when it is imported, and `value` for every prompt."""
        if not (self.folder / "repository").exists():
            self.code("task", "")
            package = self.folder / "repository/benchmarks"
            for entry in (ROOT / "benchmarks").iterdir():
                if not (package / entry.name).exists():
                    (package / entry.name).symlink_to(entry)
            rows = [{"text": f"text {i}", "label": i % 2} for i in range(40)]
            for split, part in (("train", rows[:30]), ("validation", rows[30:])):
                self.write(f"data/mine/{split}.jsonl", "\n".join(map(json.dumps, part)))
        self.write(TASKS + "mine.py", TASK.format(code=code, value=value))

    def data(self) -> str:
        """Return the fingerprint of the data, as a new process computes it."""
        clear_caches()
        for cached in (splits._load, splits._summary_of, sources._rows_of_file, sources._divided):
            cached.cache_clear()
        for name in MODULES:
            sys.modules.pop(name, None)
        vars(tasks).pop("helpers", None)
        importlib.invalidate_caches()
        size = {"train": 10, "validation": 5, "test": 5, "seed": 0}
        return splits.data_fingerprint("mine", str(self.folder / "data"), **size)

    def reads(self) -> reads.Reads:
        """Return what the loaded task reads."""
        for cached in (reads._of_file, reads._held, reads._resolved):
            cached.cache_clear()
        file = self.folder / TASKS / "mine.py"
        return reads.reads_of(
            [file], frozenset(fingerprint.modules_of(registry.ROOT / "benchmarks/tasks/__init__.py")), [file]
        )

    def fingerprints(self) -> tuple[str, str]:
        """Return the fingerprints of a run's data and sources, as a new process computes them."""
        for cached in (fingerprint._fingerprint, fingerprint._digest, fingerprint._version):
            cached.cache_clear()
        data = self.data()
        self.reads()
        return data, fingerprint._fingerprint("zero-shot", "nano-opt", "mine", False)


TASKS = "repository/benchmarks/tasks/"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    here = Repository(tmp_path, monkeypatch)
    # Parsing the training code again for every fingerprint would take a second each time.
    monkeypatch.setattr(fingerprint, "ENTRY", "benchmarks/tasks/__init__.py")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path / "repository/benchmarks/models/weights")
    monkeypatch.syspath_prepend(tmp_path / "path")
    # Otherwise a module that is written twice within a second might come from its cached bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield here
    monkeypatch.undo()
    clear_caches()
    for name in MODULES:
        sys.modules.pop(name, None)


# (what the task does when it is imported, its prompt's suffix, the file that it reads, before, after)
READS = {
    "a module in the folder of the task": (
        "from benchmarks.tasks import helpers", "helpers.WORD", TASKS + "helpers.py", "WORD = 1", "WORD = 2"),
    "a relative import": (
        "from . import helpers", "helpers.WORD", TASKS + "helpers.py", "WORD = 1", "WORD = 2"),
    "a name from a relative import": (
        "from .helpers import WORD", "WORD", TASKS + "helpers.py", "WORD = 1", "WORD = 2"),
    "a module on the path": ("import lonely", "lonely.WORD", "path/lonely.py", "WORD = 1", "WORD = 2"),
    "a module that is imported late": (
        "", "__import__('lonely').WORD", "path/lonely.py", "WORD = 1", "WORD = 2"),
    "a package on the path": (
        "from outside.inner import WORD", "WORD", "path/outside/inner.py", "WORD = 1", "WORD = 2"),
    "a package's own module": (
        "import outside", "outside.WORD", "path/outside/inner.py", "WORD = 1", "WORD = 2"),
    "a package's word list": ("import outside", "outside.TEXT", "path/outside/words.txt", "one", "two"),
    "importlib": (
        "import importlib\nlonely = importlib.import_module('lonely')", "lonely.WORD", "path/lonely.py",
        "WORD = 1", "WORD = 2"),
    "importlib with a computed name": (
        "import importlib\nlonely = importlib.import_module('one'.replace('one', 'lonely'))", "lonely.WORD",
        "path/lonely.py", "WORD = 1", "WORD = 2"),
    "a module from its location": (
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        "spec = spec_from_file_location('own', HERE / 'own' / 'helpers.py')\n"
        "own = module_from_spec(spec)\nspec.loader.exec_module(own)", "own.WORD", TASKS + "own/helpers.py",
        "WORD = 1", "WORD = 2"),
    "a folder that is added to the path": (
        "sys.path.insert(0, str(HERE / 'added'))\nimport lonely\nsys.path.pop(0)", "lonely.WORD",
        TASKS + "added/lonely.py", "WORD = 1", "WORD = 2"),
    "code that is executed": (
        "names = {}\nexec((HERE / 'code.txt').read_text(), names)", "names['WORD']", TASKS + "code.txt",
        "WORD = 1", "WORD = 2"),
    "a word list": ("WORDS = (HERE / 'words.txt').read_text()", "WORDS", TASKS + "words.txt", "one", "two"),
    "a word list in a folder": (
        "WORDS = open(os.path.join(HERE, 'lists', 'words.txt')).read()", "WORDS", TASKS + "lists/words.txt",
        "one", "two"),
    "a file whose name is computed": (
        "WORDS = {n: open(HERE / f'{n}.json').read() for n in ('wo' + 'rds',)}", "WORDS",
        TASKS + "words.json", "1", "2"),
    "a folder of prompts": (
        "PROMPTS = [file.read_text() for file in (HERE / 'prompts').iterdir()]", "PROMPTS",
        TASKS + "prompts/a.txt", "one", "two"),
    "a folder above": (
        "WORDS = (HERE.parent / 'words.txt').read_text()", "WORDS",
        "repository/benchmarks/words.txt", "one", "two"),
    "the working directory": ("WORDS = open('here.txt').read()", "WORDS", "here.txt", "one", "two"),
    "a file that is read for every row": (
        "", "(HERE / 'words.txt').read_text()", TASKS + "words.txt", "one", "two"),
}  # fmt: skip


@pytest.mark.parametrize("case", READS.values(), ids=READS)
def test_what_a_task_reads_is_found_and_its_change_changes_the_data(repository, monkeypatch, case):
    code, value, path, before, after = case
    monkeypatch.chdir(repository.folder)
    repository.write("path/outside/__init__.py", OUTSIDE)
    repository.write("path/outside/inner.py", "WORD = 0")
    repository.write("path/outside/words.txt", "none")
    repository.task(code, value)
    found = []
    for text in (before, after, before):
        repository.write(path, text)
        found.append(repository.data())
        read = repository.reads()
        assert repository.folder / path in read.sources | read.data
    assert found[0] == found[2] != found[1]


OUTSIDE = """from .inner import WORD
import os
with open(os.path.join(os.path.dirname(__file__), "words.txt")) as file:
    TEXT = file.read()
"""


def test_a_change_without_an_effect_on_any_text_changes_only_the_sources(repository):
    repository.task("from benchmarks.tasks import helpers", "helpers.WORD")
    repository.write(TASKS + "helpers.py", "WORD = 1")
    before = repository.fingerprints()
    repository.write(TASKS + "helpers.py", '"""Words."""\n\nWORD = 1  # the word')
    assert repository.fingerprints() == before
    repository.write(TASKS + "helpers.py", "WORD, OTHER = 1, 2")
    data, code = repository.fingerprints()
    assert (data == before[0], code == before[1]) == (True, False)


def test_an_environment_variable_that_a_task_reads_counts(repository, monkeypatch):
    repository.task("KIND = os.environ.get('MINE_KIND', 'a')", "KIND")
    found = []
    for value in ("a", "b"):
        monkeypatch.setenv("MINE_KIND", value)
        found.append(repository.fingerprints())
    assert [old != new for old, new in zip(*found, strict=True)] == [True, True]


def test_what_no_search_of_the_source_can_see_changes_the_data_if_it_changes_a_text(repository):
    """The path of the file is in no text, so only its effect shows."""
    repository.task("", "open(HERE / chr(119)).read()")
    found = []
    for text in ("one", "two"):
        repository.write(TASKS + "w", text)
        found.append(repository.fingerprints())
    (data, code), (changed, same) = found
    assert data != changed
    assert code == same


def test_an_installed_package_counts_by_its_version(repository, monkeypatch):
    repository.task("import tabulate")
    before = repository.fingerprints()
    monkeypatch.setattr(fingerprint.metadata, "version", lambda name: "0.0")
    data, code = repository.fingerprints()
    assert (data == before[0], code == before[1]) == (True, False)


def test_no_file_of_the_repository_reads_anything_else():
    core = frozenset(fingerprint.modules_of(registry.ROOT / fingerprint.ENTRY))
    for kind in ("task", "method", "model"):
        for file in registry.files(kind).values():
            files = set(fingerprint.modules_of(file)) - core
            found = reads.reads_of(files, core, [file])
            assert (found.sources - files, found.data, found.variables) == (set(), set(), set()), file
            assert found.packages <= reads.packages_of(core)


def test_the_search_survives_texts_that_are_not_paths(tmp_path):
    file = tmp_path / "odd.py"
    texts = [
        "**",
        "*",
        "a" * 300,
        "\0",
        "~",
        "~nobody/x.txt",
        "/",
        "//",
        "..",
        "[x].txt",
        "**/*",
        "x\n.txt",
        "a**b.txt",
    ]
    lines = [f"T{i} = {text!r}" for i, text in enumerate(texts)] + ["U = f'{T0}{T1}.txt'", "V = f'{T0}{T1}'"]
    file.write_text("\n".join(lines))
    (tmp_path / "[x].txt").write_text("x")
    found = reads.reads_of([file], frozenset(), ())
    assert found.data == {Path(tmp_path / "[x].txt")}
