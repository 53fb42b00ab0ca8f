"""Tests of README.md and docs/: every example runs, every command is accepted, and every path exists."""

import csv
import itertools
import json
import os
import re
import shlex
import shutil
import textwrap
import tomllib
import uuid
from ast import literal_eval
from collections import Counter
from pathlib import Path

import pytest

from addax import units
from benchmarks import cli, registry, tasks
from benchmarks.cli import main
from benchmarks.config.spec import from_dict
from benchmarks.data.tokenize import Encoded
from benchmarks.memory import estimator as memory_model
from benchmarks.models import WEIGHTS
from benchmarks.results import store
from benchmarks.tasks import _description_checks
from benchmarks.training import run as train
from plots.render import figures
from tests import processes
from tests.benchmarks.models.test_adapters import adapter

ROOT = registry.ROOT
README = "README.md"
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in [ROOT / README, *sorted((ROOT / "docs").rglob("*.md"))]
}
# A code block inside a list is indented.
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
MARKED = re.compile(r"<!-- example:([\w-]+) -->\n```python\n(.*?)^```$", re.M | re.S)
MAX_README_LINES = 200
# A file that a page shows: its name and its content.
SHOWN = re.compile(r"<!-- file:([\w.-]+) -->\n```\w+\n(.*?)^```$", re.M | re.S)
# Settings that keep a run short.
ROWS = ["--evaluations", "1", "--train-rows", "16", "--validation-rows", "4", "--test-rows", "4"]
TINY = ["--lr", "1e-3", "--steps", "2", *ROWS]
SHORT_RUN = ["--data", "builtin", *TINY]
# Examples that the reader saves as files of the repository.
FILES = ("method", "task", "pairs", "model", "suite", "study")
# Examples that cannot run as they are, in one process; `tests/addax/test_distributed.py` runs the last one.
SPECIAL = (*FILES, "trainer", "distributed")


def blocks(page):
    """Return (language, text) of every code block of a page."""
    return [(language, textwrap.dedent(text)) for _, language, text in BLOCK.findall(PAGES[page])]


def inline(page):
    """Return the pieces of inline code on a page. A piece may continue on the next line."""
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", BLOCK.sub("", PAGES[page]))]


def commands(page):
    """Return the words of every command line in a page's code blocks."""
    lines = [
        line
        for language, text in blocks(page)
        if language == "bash"
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return [tuple(shlex.split(line, comments=True)) for line in lines if line.split("#")[0].strip()]


def distinct(found):
    """Return the distinct items in their order."""
    return list(dict.fromkeys(found))


# Name of an example -> (its page, its text).
EXAMPLES = {name: (page, text) for page, whole in PAGES.items() for name, text in MARKED.findall(whole)}
COMMANDS = distinct(words for page in PAGES for words in commands(page))
INLINE = [text for page in PAGES for text in inline(page)]
OWN_DATA = "docs/guides/own-data.md"
PLANNING = "docs/guides/planning.md"
OWN_FILES = dict(SHOWN.findall(PAGES[OWN_DATA]))


def text_of(example):
    """Return the text of an example."""
    return EXAMPLES[example][1]


def target(kind):
    """Return the file that a page tells the reader to save an example in."""
    before = PAGES[EXAMPLES[kind][0]].split(f"<!-- example:{kind} -->")[0]
    return re.findall(r"`([\w/]+\.py)`", before)[-1]


def name_of(kind):
    """Return the command-line name of an example."""
    return Path(target(kind)).stem.replace("_", "-")


NAMES = {kind: name_of(kind) for kind in FILES}
PYTHON = [words for words in COMMANDS if words[:2] == ("python", "-m")]
SHORT = distinct(tuple(shlex.split(text)) for text in INLINE if text.startswith("python -m "))
BENCHMARKS = [words for words in distinct(PYTHON + SHORT) if words[2] == "benchmarks" and len(words) > 3]
PYTEST = [words for words in distinct(PYTHON + SHORT) if words[2] == "pytest"]
# These commands work only in a copy of the repository that contains the files of the examples.
OF_EXAMPLES = [words for words in BENCHMARKS if set(words) & {*NAMES.values(), *OWN_FILES, "mydata"}]
OTHERS = [words for words in BENCHMARKS if words not in OF_EXAMPLES]
OWN_RUNS = [words for words in COMMANDS if {"mydata", *OWN_FILES} & set(words) and words[3] == "run"]
EXAMPLE_RUNS = [words for words in COMMANDS if words in OF_EXAMPLES and words[3] == "run"]
EXAMPLE_RUNS = [words for words in EXAMPLE_RUNS if words not in OWN_RUNS]
EXAMPLE_STUDIES = [words for words in COMMANDS if words in OF_EXAMPLES and words[3] == "study"]
EXAMPLE_PREVIEWS = [words for words in COMMANDS if words in OF_EXAMPLES and "--dry-run" in words]
RUNS = [words for words in OTHERS if words[3] == "run" and "--help" not in words]


class Stop(Exception):
    """Raised to end a command once its arguments have been accepted."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy the sources to another folder, and add the examples as files."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("addax", "baselines", "benchmarks", "plots", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "figures"))
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("figures"))
    for name in ("pyproject.toml", README):
        shutil.copy(ROOT / name, folder)
    for kind in FILES:
        file = folder / target(kind)
        assert not file.exists()
        file.write_text(text_of(kind), encoding="utf-8")
    return folder


def python(folder, *words):
    """Return the standard output of a Python command in a folder; fail if it exits with an error."""
    environment = {k: v for k, v in os.environ.items() if k != "ADDAX_DATA"}
    environment |= {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = processes.python(*words, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shortened(words):
    """Return a run's words with few rows and steps, on built-in rows."""
    changed = [*words]
    for option, value in zip(SHORT_RUN[::2], SHORT_RUN[1::2], strict=True):
        if option in changed:
            changed[changed.index(option) + 1] = value
        else:
            changed += [option, value]
    return changed


def test_names_of_examples_are_unique():
    names = Counter(
        name for whole in PAGES.values() for name in re.findall(r"<!-- example:([\w-]+) -->", whole)
    )
    assert {name for name, count in names.items() if count > 1} == set()
    # Every mark is followed by a block that these tests read.
    assert set(names) == set(EXAMPLES) >= {*SPECIAL, "loop", "training-loop"}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in SPECIAL])
def test_an_example_runs_unchanged(name, monkeypatch, tmp_path, capsys):
    """If an example prints losses, they are finite, and the last is at most the first."""
    page, text = EXAMPLES[name]
    monkeypatch.chdir(tmp_path)
    exec(compile(text, page, "exec"), {})
    losses = [float(x) for x in re.findall(r"loss (\S+)", capsys.readouterr().out)]
    assert all(0 < loss < 100 for loss in losses)
    assert not losses or losses[-1] <= losses[0]


def test_the_trainer_trains_both_parts(monkeypatch, tmp_path):
    """Two steps on prompts, half of which are longer than the threshold, move every parameter."""
    import torch
    from transformers import AutoModelForCausalLM

    def collate(rows):
        ids = torch.tensor([row["input_ids"] + [1] * (120 - len(row["input_ids"])) for row in rows])
        return {"input_ids": ids, "labels": ids, "attention_mask": (ids != 1).long()}

    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / "nano-opt")
    before = [p.detach().clone() for p in model.parameters()]
    rows = [{"input_ids": [5 + i] * (60 if i % 2 else 120)} for i in range(20)]
    page, whole = EXAMPLES["trainer"]
    text = whole.replace('"max_steps": 1000', '"max_steps": 2')
    assert text != whole
    monkeypatch.chdir(tmp_path)
    names = {"model": model, "train_dataset": rows, "collate": collate}
    exec(compile(text, page, "exec"), names)
    trainer = names["trainer"]
    assert (len(trainer.train_dataset), len(trainer.zo_dataset), trainer.state.global_step) == (10, 10, 2)
    assert not any(torch.equal(p.cpu(), b) for p, b in zip(model.parameters(), before, strict=True))


@pytest.mark.process
def test_list_shows_the_examples(copy):
    lines = [line.split(maxsplit=1) for line in python(copy, "-m", "benchmarks", "list").splitlines()]
    for kind, name in NAMES.items():
        assert [name, text_of(kind).split("\n")[0].strip('"')] in lines


@pytest.mark.process
@pytest.mark.parametrize("words", EXAMPLE_RUNS, ids=" ".join)
def test_an_example_runs_on_a_built_in_model(copy, words):
    out = python(copy, *shortened(words)[1:])
    assert re.search(r"^(Sign-SGD on SST-2|Adam on Parity): test accuracy", out, re.M)
    assert "step 2 of 2" in out or "step 0 of 2" in out


def test_the_pages_run_their_example_method_and_task():
    runs = {word for words in EXAMPLE_RUNS for word in words}
    assert {NAMES["method"], NAMES["task"]} <= runs


@pytest.mark.process
@pytest.mark.parametrize("words", EXAMPLE_PREVIEWS, ids=" ".join)
def test_the_suite_example_lists_its_runs(copy, words):
    """The docstring of `specs` states their number."""
    count = re.search(r"Return (\d+) runs", text_of("suite"))[1]
    # Steps are timed in `test_a_dry_run_times_steps_in_a_process_of_its_own`.
    script = copy / "untimed.py"
    script.write_text(
        "from benchmarks.cli import main\nfrom benchmarks.sweep import cost_sources\n"
        f"cost_sources.SHORT = 1e99\nmain({list(words[3:])})\n"
    )
    lines = python(copy, script).splitlines()
    assert lines[-1] == f"{NAMES['suite']}: {count} runs to do, 0 already finished"
    assert lines[-2].startswith("downloads: none; checkpoints: up to ")


@pytest.fixture(scope="module")
def saved(copy):
    """Run the page's commands for the study example, one of which saves its rows; return their outputs."""
    return [python(copy, *words[1:]) for words in EXAMPLE_STUDIES]


@pytest.mark.process
def test_the_study_example_prints_a_table_and_saves_its_rows(copy, saved):
    assert len(saved) >= 2
    assert all("| " in out for out in saved)
    assert (copy / "results" / "reference" / f"{NAMES['study']}.jsonl").exists()


@pytest.fixture(scope="module")
def mydata(tmp_path_factory):
    """Create a user's files as the page describes them, with more rows like those it shows, and a model."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(WEIGHTS / "nano-opt", home / "my-model")
    for name, text in OWN_FILES.items():
        (home / name).write_text(text)
    (line,) = [json.loads(text) for text in inline(OWN_DATA) if text.startswith('{"')]
    assert set(line) == {"label"} | set(re.findall(r'"(premise|hypothesis)"', text_of("pairs")))
    (labels,) = re.findall(r"^LABELS = (.*)$", text_of("pairs"), re.M)
    header, *shown = csv.reader(OWN_FILES["reviews.csv"].splitlines())
    for name in (name_of("pairs"), "reviews"):
        (home / "mydata" / name).mkdir(parents=True)
    for split, count in (("train", 30), ("validation", 10)):
        rows = [
            line | {"premise": f"{line['premise']} , {split} {i}", "label": literal_eval(labels)[i % 2]}
            for i in range(count)
        ]
        file = home / "mydata" / name_of("pairs") / f"{split}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        _write_csv(home / "mydata" / "reviews" / f"{split}.csv", header, shown, count, split)
    _write_csv(home / "reviews.csv", header, shown, 60, "in all")
    return home


def _write_csv(file, header, shown, count, name):
    with file.open("w", newline="") as out:
        rows = itertools.islice(itertools.cycle(shown), count)
        csv.writer(out).writerows(
            [header, *([f"{text} , {name} {i}", v] for i, (text, v) in enumerate(rows))]
        )


def _check_own_row(row, words, task, title):
    given = dict(zip(words[4::2], words[5::2], strict=False))
    assert (row["status"], row["steps"]) == ("done", 60 if "--steps" in words else 2)
    data = "folder" if given["--data"] == "mydata" else "file"
    assert [row["config"][key] for key in ("model", "task", "data")] == [given["--model"], task, data]
    assert row["task_title"] == title
    assert (row["train_rows"], row["validation"]["n"], row["test"]["n"]) == (16, 4, 4)


@pytest.mark.process
@pytest.mark.parametrize("words", [w for w in OWN_RUNS if NAMES["pairs"] in w], ids=" ".join)
def test_your_own_task_in_python_runs_as_shown(copy, mydata, words):
    for name in ("mydata", "my-model"):
        if not (copy / name).exists():
            shutil.copytree(mydata / name, copy / name)
    out = python(copy, *words[1:], *(ROWS if "--steps" in words else TINY))
    (path,) = re.findall(r"row: (\S+)", out)
    _check_own_row(json.loads((copy / path).read_text()), words, NAMES["pairs"], "Follows")


@pytest.mark.medium
@pytest.mark.parametrize("words", [w for w in OWN_RUNS if NAMES["pairs"] not in w], ids=" ".join)
def test_your_own_file_and_model_run_as_shown(mydata, monkeypatch, capsys, words):
    monkeypatch.chdir(mydata)
    suite = f"test-{uuid.uuid4().hex}"
    made = f"results/runs/{suite}/reviews.toml"
    try:
        assert main([*words[3:], *ROWS, "--suite", suite]) == 0
        (row,) = store.read_suite(suite)
        assert (ROOT / made).exists() == ("--task" not in words)
    finally:
        shutil.rmtree(store.folder(suite), ignore_errors=True)
    assert (f"task: {made} (edit it" in capsys.readouterr().out) == ("--task" not in words)
    title = tomllib.loads(OWN_FILES["reviews.toml"])["title"]
    if "--task" in words:
        _check_own_row(row, words, "reviews.toml", title)
    else:
        _check_own_row(row, words, made, title.lower())


def test_a_task_for_your_own_data_takes_less_than_30_lines():
    assert len(text_of("pairs").splitlines()) < 30
    assert len(OWN_FILES["reviews.toml"].splitlines()) < 15


@pytest.mark.parametrize("name", ["reviews.toml", "questions.toml"])
def test_a_description_that_a_page_shows_is_valid(tmp_path, name):
    (tmp_path / name).write_text(OWN_FILES[name])
    assert tasks.load(str(tmp_path / name)).title == Path(name).stem.capitalize()


def test_the_page_explains_every_key_of_a_description():
    explained = re.findall(
        r"^\| `(?:\[)?(\w+)(?:\])?` \|", PAGES[OWN_DATA].split("## The description")[1], re.M
    )
    assert set(explained) == set(_description_checks.KEYS)


MAKE_NEOX = """\
import sys
from pathlib import Path
import torch
from benchmarks import models
from benchmarks.models import _transformers
from benchmarks.synthetic import nano_tokenizer as _nano
from benchmarks.synthetic import pretrain
from benchmarks.tasks import _language

family = models.family_of("gpt_neox", "the page")
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
def test_the_examples_pass_the_linter(copy):
    files = [copy / target(kind) for kind in FILES]
    python(copy, "-m", "ruff", "check", "--no-cache", *files)
    python(copy, "-m", "ruff", "format", "--no-cache", "--check", *files)


@pytest.mark.process
def test_the_contract_tests_named_on_the_pages_pass_for_the_examples(copy, saved):
    """Run them in one process, since each start costs seconds."""
    files = distinct(word for words in PYTEST if words[-1] in NAMES.values() for word in words if "/" in word)
    only = " or ".join(NAMES.values())
    out = python(copy, "-m", "pytest", "-n0", "-p", "no:cacheprovider", *files, "-k", only, "-q", "-rA")
    passed = {line for line in out.splitlines() if line.startswith("PASSED")}
    assert [name for name in NAMES.values() if not any(f"[{name}" in line for line in passed)] == []
    assert [file for file in files if not any(file in line for line in passed)] == []


def test_the_pages_show_a_command_of_every_kind():
    assert {words[2] for words in PYTHON} <= {"benchmarks", "pytest"}
    assert {words[3] for words in BENCHMARKS} >= {"list", "run", "sweep", "plan", "study", "report", "plots"}
    assert any("--dry-run" in words for words in OTHERS)


def is_placeholder(word):
    """Return whether a word stands for a name that the reader fills in, such as NAME."""
    return word.isupper()


@pytest.mark.parametrize("words", OTHERS, ids=" ".join)
def test_a_command_line_is_parsed(words):
    if words[3] == "study" and is_placeholder(words[4]):
        assert registry.files("study")
        return
    arguments = list(words[3:])
    if len(arguments) == 1 and words in SHORT:
        # A sentence may name a command without the arguments that it requires.
        assert arguments[0] in cli.COMMANDS
        return
    parser = cli.build_parser(arguments)
    if "--help" in words:
        with pytest.raises(SystemExit, match="0"):
            parser.parse_args(arguments)
        return
    given = parser.parse_args(arguments)
    suite = getattr(given, "suite", None)
    if suite and not is_placeholder(suite) and given.command in ("sweep", "report", "plots"):
        # The runs of a suite with another budget have a folder of their own.
        assert suite.partition(".")[0] in registry.files("suite")
    if given.command == "plots" and not is_placeholder(given.figure):
        assert given.figure in {*figures(), "all"}
    if given.command == "study":
        assert given.name in registry.files("study")


@pytest.mark.parametrize(
    "words", [words for words in OF_EXAMPLES if words[3] in ("sweep", "report", "plots")], ids=" ".join
)
def test_a_command_line_of_the_suite_example_is_parsed(words):
    arguments = list(words[3:])
    assert cli.build_parser(arguments).parse_args(arguments).suite == NAMES["suite"]


@pytest.mark.parametrize("words", PYTEST, ids=" ".join)
def test_a_command_for_tests_names_files_that_exist(words):
    files = [word for word in words if word.startswith("tests/")]
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.fixture(scope="module")
def models_of_pages(tmp_path_factory):
    """Return a folder with the model and the adapter that the pages name."""
    home = tmp_path_factory.mktemp("models")
    shutil.copytree(WEIGHTS / "nano-opt", home / "my-model")
    adapter(home / "my-adapter")
    return home


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_a_run_is_accepted_up_to_its_data(models_of_pages, tmp_path, monkeypatch, words):
    def stop(spec, folder):
        raise Stop(spec)

    monkeypatch.chdir(tmp_path if "--save-model" in words else models_of_pages)
    monkeypatch.delenv("ADDAX_DATA", raising=False)
    monkeypatch.setattr(train, "load", stop)
    with pytest.raises(Stop) as reached:
        main(list(words[3:]))
    assert reached.value.args[0].method == words[words.index("--method") + 1]


def test_list_and_the_dry_run_print_lines_and_write_nothing(untimed, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("ADDAX_DATA", raising=False)
    monkeypatch.setattr(store, "RUNS", tmp_path)
    for words in [w for w in OTHERS if w[3] == "list" or "--dry-run" in w]:
        assert main(list(words[3:])) == 0
        assert len(capsys.readouterr().out.splitlines()) > 1
    assert not list(tmp_path.iterdir())


def test_the_plan_shown_equals_the_prediction():
    """Check two lines of the plan: predicted peaks equal those shown, and one more example does not fit."""
    words = next(w for w in commands(PLANNING) if w[3] == "plan")
    given = dict(zip(words[4::2], words[5::2], strict=True))
    (shown,) = re.findall(r"<!-- output:plan -->\n```\n(.*?)^```$", PAGES[PLANNING], re.M | re.S)
    longest = int(re.search(r"to (\d+) tokens", shown)[1])
    lines = {tuple(line.split()[:2]): line.split() for line in shown.splitlines()}
    usable = units.parse_bytes(given["--gpu-memory"], PLANNING) - units.RESERVE
    assert f"{units.format_bytes(usable)} usable" in shown

    def padded(size):
        """Return prompts with an answer of one token; one of them is shorter."""
        lengths = [longest, *[longest] * (size - 2), *[longest - 9] * (size > 1)]
        return [Encoded((1,) * (n - 1), ((1,), (1,)), (), 0, n) for n in lengths]

    for method, label, part, cost in (("mezo", "MeZO", "zo", "2"), ("ip-sgd", "IP-SGD", "fo", "3")):
        line = lines[label, cost]
        size, peak, headroom = (float(text) for text in [line[-8], *line[-7:-5]])
        names = {"method": method, "model": given["--model"], "task": given["--task"]}
        spec = from_dict(names | {"lr": 1e-6, "steps": 1, "dtype": "bfloat16"})
        predicted = memory_model.predict(spec, {part: padded(int(size))}, "cuda").peak_bytes
        assert (round(predicted / 1e9, 2), round((usable - predicted) / 1e9, 2)) == (peak, headroom)
    assert memory_model.predict(spec, {part: padded(int(size) + 1)}, "cuda").peak_bytes > usable


def test_scripts_are_executable_and_their_suites_exist():
    given = [words for words in COMMANDS if words[0].startswith("./")]
    given += [tuple(text.split()) for text in INLINE if re.match(r"\./run_\w+\.sh", text)]
    scripts = {words[0] for words in given}
    assert len(scripts) >= 2
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)
    suites = {words[1] for words in given if words[0] == "./run_all.sh" and len(words) > 1}
    suites = {suite for suite in suites if not is_placeholder(suite) and suite[0] not in "[-"}
    assert suites <= set(registry.files("suite"))


def test_pip_installs_extras_that_exist():
    extras = {
        x for words in COMMANDS if words[0] == "pip" for x in re.findall(r"\[([\w,-]+)\]", " ".join(words))
    }
    extras |= {x for text in INLINE if text.startswith("pip ") for x in re.findall(r"\.\[([\w,-]+)\]", text)}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras
    assert {x for names in extras for x in names.split(",")} <= set(declared)


def named_paths(page):
    """Return every path that a page names in inline code, in a command, or in the tree of the layout."""
    top = {entry.name for entry in ROOT.iterdir()}
    words = {word for words in commands(page) for word in words} | set(inline(page))
    named = {word for word in words if re.fullmatch(r"[\w./-]+", word) and word.split("/")[0] in top}
    layout = next((text for _, text in blocks(page) if text.startswith("addax/")), "")
    folder = ""
    for line in layout.splitlines():
        folder = folder if line.startswith(" ") else line.split()[0]
        inner = line if line.startswith(" ") else line.removeprefix(folder)
        named |= {folder, *(folder + name for name in re.findall(r"(?<!\S)(\w+/)(?=\s|,|$)", inner))}
        named |= {folder + name for name in re.findall(r"`(\w+\.py)`", inner)}
    return named


def is_output(path):
    """Return whether a path need not exist: output of a command, or a file that a reader adds."""
    examples = {*NAMES.values(), *(Path(target(kind)).stem for kind in FILES)}
    generated = ("results/runs", "results/tables", "plots/figures")
    return path.startswith(generated) or Path(path).stem in examples


@pytest.mark.parametrize("page", PAGES)
def test_every_path_on_a_page_exists(page):
    assert [p for p in sorted(named_paths(page)) if not is_output(p) and not (ROOT / p).exists()] == []


def test_every_link_of_the_readme_leads_to_a_file():
    """The strict build of the site checks the links between the pages of docs/."""
    links = [
        link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[README]) if "://" not in link
    ]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_path_check_finds_paths_of_every_part():
    """A pattern that stops matching would find no path to check."""
    named = set().union(*map(named_paths, PAGES))
    assert {"examples/bare_loop.py", "results/published.csv", "tests/numerics/test_oracle.py"} <= named


def test_the_readme_is_short():
    assert len(PAGES[README].splitlines()) <= MAX_README_LINES
