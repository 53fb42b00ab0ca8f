"""A wrong input: how it comes about, the command that meets it, and what the one line on it says."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import models, registry, tasks
from benchmarks.config import methods as settings

KINDS = {
    "method": "baselines",
    "task": "benchmarks/tasks",
    "model": "benchmarks/models",
    "suite": "benchmarks/suites",
}
CACHES = (registry.files, models.families, settings.method_class, settings.settings_of, tasks.load)
TINY = {"lr": 1e-3, "steps": 2, "evaluations": 1, "train_rows": 12, "validation_rows": 4, "test_rows": 4}
RUN = ["run", "--model", "nano-opt", "--task", "sst2", "--data", "builtin"]
ADDAX = [*RUN, "--method", "addax"]


def options(settings: str | Mapping[str, object]) -> list[str]:
    """Return the words of a command for settings, given as `"lr=1 steps=2"` or as a dictionary.

    No other place knows how the command line spells a setting.
    """
    pairs = (text.split("=") for text in settings.split()) if isinstance(settings, str) else settings.items()
    return [f"--{name.replace('_', '-')}={value}" for name, value in pairs]


class Place:
    """The folder of one test, and what a user may have put there.

    Attributes:
        folder: the test's own; "{tmp}" in a case.
        patch: pytest's monkeypatch.
        undo: what `put_back` calls.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.undo: list[Callable[[], None]] = []

    def put_back(self) -> None:
        """Undoes what lies outside the folder, as soon as the command has run."""
        while self.undo:
            self.undo.pop()()

    def write(self, path: str, content: str | bytes) -> Path:
        """A file of the test's folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def code(self, kind: str, text: str) -> Path:
        """The file `mine.py` beside those of the repository that define a kind of name."""
        root = self.folder / "repository"
        for place in ("addax", *KINDS.values()):
            (root / place).mkdir(parents=True)
            for file in (registry.ROOT / place).glob("*.py"):
                (root / place / file.name).symlink_to(file)
            package = importlib.import_module(place.replace("/", "."))
            self.patch.setattr(package, "__path__", [*package.__path__, str(root / place)])
        self.patch.setattr(registry, "ROOT", root)
        self.patch.setattr(registry, "METHOD_FILES", (root / "addax/addax.py",))
        forget()
        return self.write(f"repository/{KINDS[kind]}/mine.py", text)

    def rows(self, train: Iterable[str | dict] = (), test: Iterable[str | dict] = ()) -> None:
        """SST-2 as JSON lines in `data/sst2`: the rows given and good ones, 20 to train and 6 to test."""
        for split, given, count, least in (("train", train, 20, 0), ("validation", test, 6, 100)):
            lines = [
                {"sentence": f"a film of {i} minutes", "label": i % 2} for i in range(least, least + count)
            ]
            texts = [line if isinstance(line, str) else json.dumps(line) for line in [*given, *lines]]
            self.write(f"data/sst2/{split}.jsonl", "\n".join(texts) + "\n")

    def model(self, name: str = "nano-opt") -> Path:
        """A copy of a built-in model in `model`."""
        return Path(shutil.copytree(models.WEIGHTS / name, self.folder / "model"))


def forget() -> None:
    """Drops what was remembered of the folders and of the files `mine.py`."""
    for cache in CACHES:
        cache.cache_clear()
    for place in KINDS.values():
        package = place.replace("/", ".")
        if sys.modules.pop(f"{package}.mine", None):
            delattr(sys.modules[package], "mine")


@dataclass(frozen=True)
class Case:
    """One wrong input.

    Attributes:
        name: what is wrong, in a few words.
        words: of the command; "{tmp}" stands for the test's folder.
        says: parts of the one line: the thing, and what to do; "{tmp}" as above.
        given: brings the wrong input about; None where the words are all of it.
        predicts: whether it takes a prediction of memory, which steps on tensors without values, to see it.
        loads: whether it takes the model to see it; otherwise reading one fails the test.
        notices: lines of information that stderr may hold before the one.
    """

    name: str
    words: list[str]
    says: tuple[str, ...]
    given: Callable[[Place], object] | None = None
    loads: bool = False
    predicts: bool = False
    notices: int = 0
