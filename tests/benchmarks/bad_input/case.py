"""Cases of invalid input: the setup, the command line, and the expected parts of the error message."""

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
    """Return the options for settings, given as text such as `"lr=1 steps=2"` or as a dictionary.

    Only this function defines how tests spell settings as options.
    """
    pairs = (text.split("=") for text in settings.split()) if isinstance(settings, str) else settings.items()
    return [f"--{name.replace('_', '-')}={value}" for name, value in pairs]


class Sandbox:
    """The temporary folder of a test, and methods that create a user's files in it.

    Attributes:
        folder: the temporary folder; "{tmp}" in a case.
        patch: pytest's monkeypatch.
        undo: functions that `restore` calls.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.undo: list[Callable[[], None]] = []

    def restore(self) -> None:
        """Undo the changes outside the folder. Call it right after the command."""
        while self.undo:
            self.undo.pop()()

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file in the folder; return its path."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def code(self, kind: str, text: str) -> Path:
        """Write `mine.py` to a copy of the repository's folder for a kind; return its path."""
        root = self.folder / "repository"
        for folder in ("addax", *KINDS.values()):
            (root / folder).mkdir(parents=True)
            for file in (registry.ROOT / folder).glob("*.py"):
                (root / folder / file.name).symlink_to(file)
            package = importlib.import_module(folder.replace("/", "."))
            self.patch.setattr(package, "__path__", [*package.__path__, str(root / folder)])
        self.patch.setattr(registry, "ROOT", root)
        self.patch.setattr(registry, "METHOD_FILES", (root / "addax/addax.py",))
        clear_caches()
        return self.write(f"repository/{KINDS[kind]}/mine.py", text)

    def rows(self, train: Iterable[str | dict] = (), test: Iterable[str | dict] = ()) -> None:
        """Write SST-2 to `data/sst2`: the given rows, followed by 20 valid training and 6 valid test rows."""
        for split, first, count, start in (("train", train, 20, 0), ("validation", test, 6, 100)):
            lines = [
                {"sentence": f"a film of {i} minutes", "label": i % 2} for i in range(start, start + count)
            ]
            texts = [line if isinstance(line, str) else json.dumps(line) for line in [*first, *lines]]
            self.write(f"data/sst2/{split}.jsonl", "\n".join(texts) + "\n")

    def model(self, name: str = "nano-opt") -> Path:
        """Copy a built-in model to `model`; return its path."""
        return Path(shutil.copytree(models.WEIGHTS / name, self.folder / "model"))


def clear_caches() -> None:
    """Clear the caches of the registry, and unload the files `mine.py`."""
    for cache in CACHES:
        cache.cache_clear()
    for folder in KINDS.values():
        package = folder.replace("/", ".")
        if sys.modules.pop(f"{package}.mine", None):
            delattr(sys.modules[package], "mine")


@dataclass(frozen=True)
class Case:
    """A case of invalid input.

    Attributes:
        name: short description of the mistake.
        argv: command line; "{tmp}" stands for the test's folder.
        expected: parts of the error message; "{tmp}" as above.
        setup: function that creates the invalid input; None if the command line is invalid by itself.
        loads: whether the command loads the model before it finds the mistake; if False, loading a model
            fails the test.
        predicts: whether the command takes steps of an optimizer before it finds the mistake: of the run's
            model on tensors without values, to predict memory, or of a model with four weights, to try the
            optimizer of another package.
        notices: number of informational lines on stderr before the error.
    """

    name: str
    argv: list[str]
    expected: tuple[str, ...]
    setup: Callable[[Sandbox], object] | None = None
    loads: bool = False
    predicts: bool = False
    notices: int = 0
