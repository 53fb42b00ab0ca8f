"""Tests of fingerprints: a run's source fingerprint covers exactly the files that the run imports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import models, registry
from benchmarks.config import fingerprint
from benchmarks.config.fingerprint import modules_of, source_fingerprint
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from tests import processes

ROOT = registry.ROOT


def spec_of(method="sgd", model="nano-opt", task="sst2", **more):
    settings = more | ({} if method == ZERO_SHOT else {"lr": 0.1, "steps": 1})
    return from_dict({"method": method, "model": model, "task": task, **settings})


SPECS = {
    name: spec_of(*name.split())
    for name in (
        "sgd nano-opt sst2", "ip-sgd nano-opt sst2", "mezo nano-opt sst2", "zero-shot nano-opt sst2",
        "sgd nano-llama sst2", "sgd nano-opt sst2-cloze", "sgd nano-opt rte", "sgd nano-opt mnli",
        "sgd facebook/opt-13b sst2",
    )
}  # fmt: skip


def forget():
    """Clear the caches of file contents. No test changes a file's imports, so their cache stays."""
    fingerprint._fingerprint.cache_clear()
    fingerprint._digest.cache_clear()


def changed(monkeypatch, name):
    """Return the names of the specs whose fingerprints change with a file's content."""
    before = {name: source_fingerprint(spec) for name, spec in SPECS.items()}
    original = Path.read_bytes

    def read(path):
        return original(path) + (b"pass\n" if path == ROOT / name else b"")

    assert (ROOT / name).is_file()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        forget()
        after = {name: source_fingerprint(spec) for name, spec in SPECS.items()}
        forget()
    return {name for name in SPECS if before[name] != after[name]}


ALL = set(SPECS)


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("baselines/mezo.py", {"mezo nano-opt sst2"}),
        ("baselines/adam.py", set()),
        # SGD derives from IP-SGD.
        ("baselines/sgd.py", {name for name in ALL if name.startswith("sgd ")}),
        ("baselines/ip_sgd.py", {name for name in ALL if name.startswith(("sgd ", "ip-sgd "))}),
        ("addax/noise.py", ALL),
        ("addax/__init__.py", ALL),
        ("addax/hf_trainer.py", set()),
        ("addax/hf_report.py", set()),
        ("benchmarks/tasks/sst2.py", ALL - {"sgd nano-opt rte", "sgd nano-opt mnli"}),
        ("benchmarks/tasks/sst2_cloze.py", {"sgd nano-opt sst2-cloze"}),
        ("benchmarks/tasks/rte.py", {"sgd nano-opt rte"}),
        ("benchmarks/tasks/_fields.py", ALL),
        ("benchmarks/tasks/_nli.py", {"sgd nano-opt mnli"}),
        ("benchmarks/tasks/_language.py", ALL),
        ("benchmarks/tasks/__init__.py", ALL),
        ("benchmarks/tasks/record.py", set()),
        ("benchmarks/models/__init__.py", ALL),
        ("benchmarks/models/_dropout.py", ALL),
        ("benchmarks/models/llama.py", {"sgd nano-llama sst2"}),
        ("benchmarks/models/opt.py", ALL - {"sgd nano-llama sst2"}),
        ("benchmarks/models/weights/nano-llama/model.safetensors", {"sgd nano-llama sst2"}),
        ("benchmarks/models/weights/nano-llama/tokenizer.json", {"sgd nano-llama sst2"}),
        ("benchmarks/training/run.py", ALL),
        ("benchmarks/training/loop.py", ALL),
        ("benchmarks/evaluation/scoring.py", ALL),
        ("benchmarks/data/tokenize.py", ALL),
        ("benchmarks/config/spec.py", ALL),
        ("benchmarks/__main__.py", set()),
    ],
)
def test_a_changed_file_changes_the_runs_that_import_it_and_no_others(monkeypatch, name, runs):
    assert changed(monkeypatch, name) == runs


@pytest.mark.parametrize(
    "folder",
    [
        "addax/memory", "benchmarks/memory", "benchmarks/report", "benchmarks/studies", "benchmarks/suites",
        "benchmarks/sweep", "plots",
    ],
)  # fmt: skip
def test_code_that_reports_or_plans_runs_is_in_no_fingerprint(folder):
    every = [*registry.files("method").values(), *registry.files("task").values()]
    every += [*registry.files("model").values(), ROOT / fingerprint.ENTRY]
    assert [file for file in modules_of(*every) if file.is_relative_to(ROOT / folder)] == []


def test_the_predictor_counts_only_if_it_chooses_the_length_threshold(monkeypatch):
    def fingerprints():
        forget()
        return [
            source_fingerprint(spec_of("addax").replace(length_threshold=threshold))
            for threshold in (None, "q0.75", "auto:40GB")
        ]

    before = fingerprints()
    read, changed = Path.read_bytes, ROOT / "addax/memory/tracer.py"
    monkeypatch.setattr(Path, "read_bytes", lambda file: read(file) + b"pass\n" * (file == changed))
    after = fingerprints()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]


@pytest.mark.process
def test_a_new_method_task_model_or_suite_changes_no_fingerprint(tmp_path):
    for name in ("addax", "baselines", "benchmarks", "plots"):
        ignored = shutil.ignore_patterns("__pycache__", "figures")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    specs = [spec.method + " " + spec.model + " " + spec.task for spec in SPECS.values()]
    (tmp_path / "fingerprints.py").write_text(
        "import json\n"
        "from benchmarks import registry\n"
        "from benchmarks.config.fingerprint import _fingerprint\n"
        "from benchmarks.models import families\n"
        "counts = [len(registry.files(kind)) for kind in ('method', 'task', 'model', 'suite')]\n"
        f"print(json.dumps([counts, [_fingerprint(*spec.split(), False) for spec in {specs}]]))\n"
    )

    def found():
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        done = processes.python(tmp_path / "fingerprints.py", cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    counts, before = found()
    for old, new in (
        ("baselines/sgd.py", "baselines/other.py"),
        ("benchmarks/tasks/rte.py", "benchmarks/tasks/other.py"),
        ("benchmarks/models/gpt2.py", "benchmarks/models/other.py"),
        ("benchmarks/suites/quick.py", "benchmarks/suites/other.py"),
    ):
        text = (tmp_path / old).read_text().replace('"gpt2"', '"other"')
        (tmp_path / new).write_text(text)
    assert found() == [[count + 1 for count in counts], before]


@pytest.mark.process
def test_every_module_that_a_run_imports_is_in_its_fingerprint(tmp_path):
    """Compare the fingerprint's files with the modules that a process has loaded after a run."""
    script = (
        "import json, sys\n"
        "from benchmarks.config.spec import from_dict\n"
        "from benchmarks.training import run\n"
        "spec = from_dict({'method': 'addax', 'model': 'nano-opt', 'task': 'squad', 'train_rows': 8,\n"
        "    'validation_rows': 4, 'test_rows': 4, 'steps': 1, 'evaluations': 1, 'lr': 1e-3})\n"
        "run.run(spec, run.load(spec, None), suite='s')\n"
        "print(json.dumps([getattr(m, '__file__', None) or '' for m in list(sys.modules.values())]))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    loaded = {Path(file) for file in json.loads(done.stdout.splitlines()[-1])}
    imported = {
        file for file in loaded
        for folder in ("addax", "baselines", "benchmarks", "plots") if file.is_relative_to(ROOT / folder)
    }  # fmt: skip
    roots = ["addax/addax.py", "benchmarks/models/opt.py", "benchmarks/tasks/squad.py", fingerprint.ENTRY]
    covered = set(modules_of(*(ROOT / root for root in roots)))
    assert len(imported) > 40
    # The registry imports every family to find the one that serves a model.
    assert imported - covered <= set(registry.files("model").values())


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Return a function that writes a repository. It returns a function that maps files to their imports."""
    monkeypatch.setattr(registry, "ROOT", tmp_path)

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return lambda *roots: [
            file.relative_to(tmp_path).as_posix() for file in modules_of(*(tmp_path / root for root in roots))
        ]

    return write


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import a.b", ["a/__init__.py", "a/b.py"]),
        ("import a", ["a/__init__.py"]),
        ("from a import b", ["a/__init__.py", "a/b.py"]),
        ("from a import b as c, name", ["a/__init__.py", "a/b.py"]),
        ("from a.b import name", ["a/__init__.py", "a/b.py"]),
        ("from a import *", ["a/__init__.py"]),
        ("import a.c.d", ["a/__init__.py", "a/c/d.py"]),
        ("def f():\n    from a import b", ["a/__init__.py", "a/b.py"]),
        ("try:\n    import a.b\nexcept ImportError:\n    pass", ["a/__init__.py", "a/b.py"]),
        ("if TYPE_CHECKING:\n    import a.b", []),
        ("if typing.TYPE_CHECKING:\n    import a.b\nelse:\n    import a", ["a/__init__.py"]),
        ("import torch, json.decoder", []),
        ("text = 'import a.b'", []),
    ],
)
def test_import_statements_are_followed_to_files(tree, text, found):
    modules = tree({"main.py": text, "a/__init__.py": "", "a/b.py": "", "a/c/d.py": ""})
    assert modules("main.py") == sorted(["main.py", *found])


def test_transitive_and_circular_imports_are_followed(tree):
    files = {"p/__init__.py": "import q", "p/one.py": "from . import two", "q.py": "from p.three import x"}
    files |= {"p/two.py": "from .sub.four import x", "p/three.py": "import p.one", "p/five.py": ""}
    files |= {"p/sub/__init__.py": "", "p/sub/four.py": "from ..three import x"}
    modules = tree(files)
    expected = sorted(set(files) - {"p/five.py"})
    assert modules("p/one.py") == expected
    assert modules("p/two.py", "p/five.py") == sorted([*expected, "p/five.py"])


def test_a_model_folder_is_identified_by_its_family_and_its_files(tmp_path):
    config = {"model_type": "opt"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "nested").mkdir()
    spec = spec_of(model=str(tmp_path))
    seen = [source_fingerprint(spec)]

    def look():
        forget()
        seen.append(source_fingerprint(spec))

    look()
    assert seen[0] == seen[1]
    (tmp_path / "model.safetensors").write_bytes(b"0" * 10)
    look()
    os.utime(tmp_path / "model.safetensors", ns=(1, 1))
    look()
    assert len(set(seen)) == 3
    assert source_fingerprint(spec_of(model="owner/name")) not in seen


def test_a_hub_model_depends_on_the_family_that_its_configuration_names(monkeypatch):
    monkeypatch.setattr(models, "load_config", lambda name, trusted: SimpleNamespace(model_type="llama"))
    assert fingerprint._family_files("owner/name") == [registry.path("model", "llama")]


def test_a_hub_model_that_cannot_be_read_depends_on_every_family(monkeypatch):
    def unreachable(name, trusted):
        raise UserError(f"cannot load {name}")

    monkeypatch.setattr(models, "load_config", unreachable)
    files = fingerprint._family_files("owner/name")
    assert files == list(registry.files("model").values())
    assert len(files) > 1


def test_built_in_models_have_different_fingerprints():
    nano = sorted(name for name in models.builtin() if name.startswith("nano-"))
    assert len({source_fingerprint(spec_of(model=name)) for name in nano}) == len(nano)
