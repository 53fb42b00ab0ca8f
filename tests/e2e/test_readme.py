"""The README: its examples run unchanged, its command lines are accepted, its paths exist."""

import json
import os
import re
import shlex
import shutil
from ast import literal_eval

import pytest

from addax import units
from benchmarks import cli, registry
from benchmarks.cli import main
from benchmarks.config.spec import from_dict
from benchmarks.data.tokenize import Encoded
from benchmarks.memory import estimator as memory_model
from benchmarks.models import WEIGHTS
from benchmarks.results import store
from benchmarks.training import run as train
from plots.render import figures
from tests import processes

ROOT = registry.ROOT
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
EXAMPLES = dict(re.findall(r"<!-- example:(\w+) -->\n```python\n(.*?)^```$", README, re.M | re.S))
# Outside code blocks: an inline word may run over a line's end.
INLINE = [
    " ".join(text.split())
    for text in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", README, count=0, flags=re.M | re.S))
]
ROWS = ["--evaluations", "1", "--train-rows", "16", "--validation-rows", "4", "--test-rows", "4"]
TINY = ["--lr", "1e-3", "--steps", "2", *ROWS]
# What a block shows -> the kind of file that it is.
FILES = {"method": "method", "task": "task", "texts": "task", "pairs": "task", "model": "model"}
CONTRACTS = {
    kind: f"tests/{folder}/test_{name}s.py"
    for kind, name in FILES.items()
    for folder in ["baselines" if name == "method" else f"benchmarks/{name}s"]
}
# Lines of a user's own files, as the page shows them.
LINES = [json.loads(text) for text in INLINE if text.startswith('{"')]


def target(kind):
    """The file that the README puts an example in."""
    before = README.split(f"<!-- example:{kind} -->")[0]
    return re.findall(r"\(`([\w/]+\.py)`\)", before)[-1]


def commands():
    """Words of every command line in the code blocks, continued lines joined."""
    lines = [
        line
        for language, text in BLOCKS
        if language == "bash"
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


PYTHON = [words for words in commands() if words[:2] == ["python", "-m"]]
SWEEPS = [words for words in PYTHON if words[2:4] == ["benchmarks", "sweep"]]
RUNS = [words for words in PYTHON if words[2:4] == ["benchmarks", "run"] and "mydata" not in words]
OWN = [words for words in PYTHON if "mydata" in words]


class Stop(Exception):
    """Ends a command at the place where its words have been accepted."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The sources in a folder of their own, with the README's examples as files."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("addax", "baselines", "benchmarks", "plots", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "figures"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for kind in FILES:
        file = folder / target(kind)
        assert not file.exists()
        file.write_text(EXAMPLES[kind], encoding="utf-8")
    return folder


def python(folder, *words):
    """Standard output of a Python command in a folder; its error output fails the test."""
    environment = {k: v for k, v in os.environ.items() if k != "ADDAX_DATA"}
    environment |= {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = processes.python(*words, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def name_of(kind):
    return target(kind).rpartition("/")[2].removesuffix(".py").replace("_", "-")


def test_the_loop_runs_and_prints_a_loss(capsys):
    exec(compile(EXAMPLES["loop"], "README.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out) < 100


def test_the_trainer_trains_both_parts(monkeypatch, tmp_path):
    """For two steps, on prompts of which half are longer than its threshold."""
    import torch
    from transformers import AutoModelForCausalLM

    def collate(rows):
        ids = torch.tensor([row["input_ids"] + [1] * (120 - len(row["input_ids"])) for row in rows])
        return {"input_ids": ids, "labels": ids, "attention_mask": (ids != 1).long()}

    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / "nano-opt")
    before = [p.detach().clone() for p in model.parameters()]
    rows = [{"input_ids": [5 + i] * (60 if i % 2 else 120)} for i in range(20)]
    text = EXAMPLES["trainer"].replace('"max_steps": 1000', '"max_steps": 2')
    assert text != EXAMPLES["trainer"]
    monkeypatch.chdir(tmp_path)
    names = {"model": model, "train_dataset": rows, "collate": collate}
    exec(compile(text, "README.md", "exec"), names)
    trainer = names["trainer"]
    assert (len(trainer.train_dataset), len(trainer.zo_dataset), trainer.state.global_step) == (10, 10, 2)
    assert not any(torch.equal(p.cpu(), b) for p, b in zip(model.parameters(), before, strict=True))


@pytest.mark.process
def test_list_shows_the_examples(copy):
    out = python(copy, "-m", "benchmarks", "list").splitlines()
    for kind in FILES:
        first = EXAMPLES[kind].split("\n")[0].strip('"')
        assert f"  {name_of(kind):<12} {first}" in out


@pytest.mark.process
@pytest.mark.parametrize(
    ("method", "task", "said"),
    [(name_of("method"), "sst2", "Sign-SGD on SST-2"), ("adam", name_of("task"), "Adam on Parity")],
)
def test_an_example_runs_on_a_built_in_model(copy, method, task, said):
    words = ["--method", method, "--model", "nano-opt", "--task", task, "--data", "builtin"]
    out = python(copy, "-m", "benchmarks", "run", *words, *TINY)
    assert f"{said}: test accuracy" in out
    assert "step 2 of 2" in out or "step 0 of 2" in out


@pytest.fixture(scope="module")
def mydata(copy):
    """A user's folders as the page describes them: 40 lines like the one it shows, and a model."""
    shutil.copytree(WEIGHTS / "nano-opt", copy / "my-model")
    for kind, line in zip(("texts", "pairs"), LINES, strict=True):
        names = {"label"} | set(re.findall(r'"(text|premise|hypothesis)"', EXAMPLES[kind]))
        assert set(line) == names
        (labels,) = re.findall(r"^LABELS = (.*)$", EXAMPLES[kind], re.M)
        folder = copy / "mydata" / name_of(kind)
        folder.mkdir(parents=True)
        first = next(iter(line))
        for split, count in (("train", 30), ("validation", 10)):
            rows = [
                line | {first: f"{line[first]} , {split} {i}", "label": literal_eval(labels)[i % 2]}
                for i in range(count)
            ]
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return copy / "mydata"


@pytest.mark.process
@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_your_own_data_and_model_run_as_shown(copy, mydata, words):
    given = dict(zip(words[4::2], words[5::2], strict=False))
    settings = ROWS if "--steps" in words else TINY
    out = python(copy, *words[1:], *settings)
    (path,) = re.findall(r"row: (\S+)", out)
    row = json.loads((copy / path).read_text())
    assert (row["status"], row["steps"]) == ("done", 2 if settings is TINY else 60)
    assert [row["config"][key] for key in ("model", "task", "data")] == [
        given["--model"],
        given["--task"],
        "folder",
    ]
    assert row["task_title"].lower() == given["--task"]
    assert (row["train_rows"], row["validation"]["n"], row["test"]["n"]) == (16, 4, 4)


@pytest.mark.parametrize("kind", ["texts", "pairs"])
def test_a_task_for_your_own_data_takes_less_than_30_lines(kind):
    assert len(EXAMPLES[kind].splitlines()) < 30


MAKE_NEOX = """\
import sys
from pathlib import Path
import torch
from benchmarks import models
from benchmarks.models import _transformers
from benchmarks.synthetic import nano_tokenizer as _nano
from benchmarks.synthetic import pretrain
from benchmarks.tasks import _language

family = models.family_of("gpt_neox", "README")
assert models.families()["gpt-neox"] is family
tokenizer = _nano.tokenizer(family, _language.vocabulary(), 160)
_transformers.prepare_tokenizer(tokenizer, family.masked)
model = models.build(family.nano(tokenizer), dtype=torch.float32)
print(type(model).__name__, sum(p.numel() for p in model.parameters()))
pretrain.save(model, tokenizer, Path(sys.argv[1]))
"""


@pytest.mark.process
def test_the_model_example_is_built_and_trained(copy):
    (copy / "make_neox.py").write_text(MAKE_NEOX)
    name, size = python(copy, copy / "make_neox.py", copy / "neox").split()
    assert name == "GPTNeoXForCausalLM"
    assert 100_000 < int(size) < 1_000_000
    words = ["--method", "addax", "--model", copy / "neox", "--task", "sst2", "--data", "builtin"]
    assert "Addax-WA on SST-2: test accuracy" in python(copy, "-m", "benchmarks", "run", *words, *TINY)


@pytest.mark.process
def test_the_examples_keep_the_house_style(copy):
    files = [copy / target(kind) for kind in FILES]
    python(copy, "-m", "ruff", "check", "--no-cache", *files)
    python(copy, "-m", "ruff", "format", "--no-cache", "--check", *files)


@pytest.mark.process
@pytest.mark.parametrize("kind", FILES)
def test_the_contract_tests_pick_the_examples_up(copy, kind):
    file, name = CONTRACTS[kind], name_of(kind)
    out = python(copy, "-m", "pytest", "-n0", "-p", "no:cacheprovider", file, "-k", name, "-q", "-rA")
    passed = [line for line in out.splitlines() if line.startswith("PASSED") and f"[{name}" in line]
    assert passed


def test_the_page_shows_a_command_of_every_kind_and_no_other_program():
    assert {words[2] for words in PYTHON} == {"benchmarks"}
    assert {words[3] for words in PYTHON} >= {"list", "run", "sweep", "plan", "report", "plots"}
    assert any("--dry-run" in words for words in SWEEPS)


@pytest.mark.parametrize(
    "words",
    PYTHON + [shlex.split(text) for text in INLINE if text.startswith("python -m ")],
    ids=" ".join,
)
def test_a_command_line_is_parsed(words):
    given = cli.build_parser(words[3:]).parse_args(words[3:])
    if getattr(given, "suite", None) and given.command in ("sweep", "report", "plots"):
        assert given.suite in registry.files("suite")
    if given.command == "plots":
        assert given.figure in figures()
    if given.command == "study":
        assert given.name in registry.files("study")


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_a_run_is_accepted_up_to_its_data(monkeypatch, words):
    def stop(spec, folder):
        raise Stop(spec)

    monkeypatch.delenv("ADDAX_DATA", raising=False)
    monkeypatch.setattr(train, "load", stop)
    with pytest.raises(Stop) as reached:
        main(words[3:])
    assert reached.value.args[0].method == words[words.index("--method") + 1]


def test_list_and_the_dry_run_print_lines_and_write_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("ADDAX_DATA", raising=False)
    monkeypatch.setattr(store, "RUNS", tmp_path)
    for words in [w for w in PYTHON if w[3] == "list" or "--dry-run" in w]:
        assert main(words[3:]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 1
    assert not list(tmp_path.iterdir())


def test_the_plan_shown_equals_the_prediction():
    """Two of its lines, at the longest of its lengths: peaks are those shown, and no more fits."""
    (words,) = [w for w in PYTHON if w[3] == "plan"]
    given = dict(zip(words[4::2], words[5::2], strict=True))
    (shown,) = re.findall(r"<!-- output:plan -->\n```\n(.*?)^```$", README, re.M | re.S)
    longest = int(re.search(r"to (\d+) tokens", shown)[1])
    lines = {tuple(line.split()[:2]): line.split() for line in shown.splitlines()}
    usable = units.parse_bytes(given["--gpu-memory"], "README") - units.RESERVE
    assert f"{units.format_bytes(usable)} to use" in shown

    def padded(size):
        """Prompts and an answer of one token, one of them shorter."""
        lengths = [longest, *[longest] * (size - 2), *[longest - 9] * (size > 1)]
        return [Encoded((1,) * (n - 1), ((1,), (1,)), (), 0, n) for n in lengths]

    for method, label, part, cost in (("mezo", "MeZO", "zo", "2"), ("ip-sgd", "IP-SGD", "fo", "3")):
        line = lines[label, cost]
        size, peak, headroom = (float(text) for text in [line[-8], *line[-7:-5]])
        names = {"method": method, "model": given["--model"], "task": given["--task"]}
        one = from_dict(names | {"lr": 1e-6, "steps": 1, "dtype": "bfloat16"})
        found = memory_model.predict(one, {part: padded(int(size))}, "cuda").peak_bytes
        assert (round(found / 1e9, 2), round((usable - found) / 1e9, 2)) == (peak, headroom)
    assert memory_model.predict(one, {part: padded(int(size) + 1)}, "cuda").peak_bytes > usable


def test_scripts_are_executable_and_their_suites_exist():
    scripts = {words[0] for words in commands() if words[0].startswith("./")}
    scripts |= {text.split()[0] for text in INLINE if text.startswith("./")}
    assert len(scripts) >= 2
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
    suites = [text.split()[1] for text in INLINE if text.startswith("./run_all.sh ")]
    assert all(
        suite in registry.files("suite") for suite in suites if not suite.isupper() and suite[0] != "["
    )


def paths():
    """Every path of the repository that the page names, apart from files the examples would add."""
    linked = [place for place in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in place]
    top = {entry.name for entry in ROOT.iterdir()}
    named = [text for text in INLINE if re.fullmatch(r"[\w./-]+", text) and text.split("/")[0] in top]
    layout = next(text for _, text in BLOCKS if text.startswith("addax/"))
    tree, folder = [], ""
    for line in layout.splitlines():
        folder = folder if line.startswith(" ") else line.split()[0]
        inner = line if line.startswith(" ") else line.removeprefix(folder)
        tree += [folder, *(folder + name for name in re.findall(r"(?<!\S)(\w+/)(?=\s|,|$)", inner))]
        tree += [folder + name for name in re.findall(r"`(\w+\.py)`", inner)]
    examples = {target(kind) for kind in FILES}
    return sorted({*linked, *named, *tree} - examples)


def made(path):
    """Whether a path is an output that need not be there: runs and tables, and figures before their rows."""
    if path.startswith(("results/runs", "results/tables")):
        return True
    suite = re.match(r"plots/figures/(\w*)", path)
    return suite and not (ROOT / f"results/reference/{suite[1]}.jsonl").exists()


def test_every_path_exists():
    named = paths()
    assert {"benchmarks/models/_fetch.py", "benchmarks/tasks/", "results/reference/", "tests/numerics/"} <= {
        *named
    }
    assert [path for path in named if not made(path) and not (ROOT / path).exists()] == []
