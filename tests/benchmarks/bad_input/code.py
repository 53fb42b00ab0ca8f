"""Invalid files that a user wrote: suites, tasks, methods, and models."""

from collections.abc import Sequence

from tests.benchmarks.bad_input.case import ADDAX, RUN, Case, options

METHOD = '''"""A method."""
from addax.optimizer import Method


class First(Method):
    """One."""
    label, closures = "First", ("fo_loss",)
'''
TASK = '''"""A task."""
from benchmarks.tasks import Hub, Task, _fields

TASK = Task(
    title="Mine", version=1, prompt=lambda row: row["text"], candidates=lambda row: [" no", " yes"],
    gold=lambda row: row["label"], inputs=lambda row: (row["text"],), from_file=lambda raw: [raw],{more}
)
'''


def file(kind: str, name: str, text: str, *expected: str, argv: list[str] | None = None) -> Case:
    """Build a case from a file `mine.py` of a kind, and a command that names it."""
    commands = {
        "suite": ["sweep", "mine", "--data", "builtin"],
        "task": [*ADDAX, "--task", "mine"],
        "method": [*RUN, "--method", "mine", *options("lr=0.1 steps=1")],
        "model": ADDAX,
    }
    return Case(name, argv or commands[kind], expected, lambda sandbox: sandbox.code(kind, text))


def suite(name: str, body: str, *expected: str) -> Case:
    """Build a case from a suite whose `specs` has a given body."""
    text = f'"""A suite."""\nfrom benchmarks.config.spec import from_dict\n\n\ndef specs():\n    {body}\n'
    return file("suite", name, text, "mine", *expected)


def suite_with(line: str, *expected: str, more: Sequence[str] = ()) -> Case:
    """Build a case from a valid suite with one more line, and a sweep with more options."""
    spec = "{'method': 'sgd', 'model': 'nano-opt', 'task': 'sst2', 'lr': 1.0, 'steps': 1}"
    head = '"""A suite."""\nfrom benchmarks.config.spec import from_dict\n'
    text = f"{head}{line}\n\n\ndef specs():\n    return [from_dict({spec})]\n"
    return file(
        "suite", f"a suite with {line} {' '.join(more)}", text, *expected, argv=["sweep", "mine", *more]
    )


CASES = [
    file(
        "suite", "a suite that raises", "import json\n\n1 / 0\n", "suites/mine.py, line 3: ZeroDivisionError"
    ),
    file("suite", "a suite with a syntax error", "def specs(:\n", "suites/mine.py, line 1: SyntaxError"),
    file(
        "suite", "a suite that imports a missing package", "import nowhere\n", "mine.py, line 1", "'nowhere'"
    ),
    file("suite", "a suite without specs", "RUNS = []\n", "suites/mine.py: does not define specs"),
    suite("a suite without runs", "return []", "specs() returned no runs"),
    suite("a suite that returns nothing", "pass", "specs() returned None, not a list of runs"),
    suite(
        "a suite of plain dictionaries", "return [{'method': 'addax'}]", "dict, not a RunSpec", "from_dict"
    ),
    suite(
        "a suite with a misspelled method",
        "return [from_dict({'method': 'adax', 'model': 'nano-opt', 'task': 'sst2', 'lr': 1.0, 'steps': 1})]",
        "did you mean 'addax'?",
    ),
    suite("a suite that raises in specs", "return [from_dict({'method': {}['x']})]", "line 6", "KeyError"),
    file(
        "suite",
        "a suite with a missing data folder",
        'DATA = "/no/such"\n\n\ndef specs():\n    return []\n',
        "--data /no/such: no such folder",
        argv=["sweep", "mine"],
    ),
    suite_with("JOBS = 0", "JOBS must be at least 1, not 0"),
    suite_with("JOBS = '2'", "JOBS must be a whole number of at least 1, not '2'"),
    suite_with("WANDB = 'ofline'", "unknown WANDB 'ofline': did you mean 'offline'?"),
    suite_with("DATA = 3", "DATA must be builtin, hub, a folder, or a file, not 3"),
    suite_with("DATA = 'builtin'", "--data hub: suite mine always uses built-in", more=["--data", "hub"]),
    suite_with("", "--report has no effect with --dry-run", more=["--report", "--dry-run"]),
    file("task", "a task file that exits", "import sys\nsys.exit()\n", "tasks/mine.py, line 2: SystemExit"),
    file("task", "a task file without TASK", "TASKS = 1\n", "tasks/mine.py: does not define TASK"),
    file("task", "a TASK of the wrong type", "TASK = {}\n", "tasks/mine.py: TASK is a dict, not a Task"),
    file(
        "task",
        "a task without a prompt",
        "from benchmarks.tasks import Task\nTASK = Task(title='x', version=1)\n",
        "tasks/mine.py, line 2",
        "'prompt'",
    ),
    file(
        "task",
        "a task without generated rows",
        TASK.format(more=""),
        "no built-in rows: use --data DIR",
        argv=[*ADDAX, "--task", "mine"],
    ),
    file(
        "task",
        "a task without a hub copy",
        TASK.format(more=""),
        "no copy on the hub: use --data DIR",
        argv=[*ADDAX, "--task", "mine", "--data", "hub"],
    ),
    file(
        "task",
        "a hub without from_hub",
        TASK.format(more='\n    hub=Hub("me/mine", None),'),
        "set both hub and from_hub",
    ),
    file(
        "task",
        "a revision of the hub that is not a text",
        TASK.format(more='\n    hub=Hub("me/mine", None, revision=3), from_hub=list,'),
        "revision of hub must be a text, not 3",
    ),
    file(
        "method",
        "a method file with two methods",
        METHOD + METHOD[METHOD.index("class") :].replace("First", "Second"),
        "baselines/mine.py",
        "exactly one method class, not 2 (First, Second)",
    ),
    file(
        "method",
        "a method file without a method",
        '"""Nothing."""\n',
        "baselines/mine.py: must define exactly one method class, not 0",
    ),
    file(
        "method",
        "a method without closures",
        METHOD.replace('label, closures = "First", ("fo_loss",)', 'label = "x"'),
        "baselines/mine.py: class First must define closures",
    ),
    file(
        "model", "a model file without FAMILY", '"""Nothing."""\n', "models/mine.py: does not define FAMILY"
    ),
    file(
        "model",
        "a FAMILY of the wrong type",
        "FAMILY = 'gpt2'\n",
        "models/mine.py: FAMILY is a str, not a Family",
    ),
]
