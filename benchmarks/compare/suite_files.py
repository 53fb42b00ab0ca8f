"""The two suite files of a comparison: its trials, and its runs. They are written next to the rows.

    results/runs/<name>-trials/suite.py
    results/runs/<name>/suite.py

`sweep`, `report`, and `plots` accept both names. A file copied to `benchmarks/suites/` is a suite like any
other.
"""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import registry
from benchmarks.compare import rates
from benchmarks.errors import UserError
from benchmarks.files import write_atomically

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

TRIALS = "-trials"
# The name of the constant that holds the arguments of a comparison.
ARGUMENTS = "ARGUMENTS"
HEAD = '''"""{about}

Written by `python -m benchmarks compare`.
"""

from benchmarks.compare import {imported}

{constants}


def specs():
    """Return {returned}."""
    return {call}
'''


@dataclass(frozen=True)
class Comparison:
    """A comparison that is ready to run.

    Attributes:
        name: name of the suite of its runs.
        about: one line about it.
        arguments: the arguments of the command. Equal arguments continue a comparison.
        data: the source of the rows: "builtin", "hub", or a path.
        common: fields of every run.
        methods: fields and settings of each method's runs, by method.
        centers: center of the trials of each method's learning rate, by method.
        seeds: number of seeds.
        constants: other constants of the suites, such as JOBS.
    """

    name: str
    about: str
    arguments: Mapping[str, Any]
    data: str
    common: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    centers: Mapping[str, float]
    seeds: int
    constants: Mapping[str, Any]

    @property
    def trials(self) -> str:
        """The name of the suite of trials."""
        return self.name + TRIALS

    def expected(self) -> "list[RunSpec]":
        """Return as many trials and runs as there will be, at rates that only approximate theirs."""
        from benchmarks.compare import runs, trials

        found = trials.first(self.common, self.methods, self.centers)
        for method, center in self.centers.items():
            (one, *_) = (spec for spec in found if spec.method == method)
            found += [one.replace(lr=rate) for rate in rates.last_trials(center)]
        return found + runs.at(self.centers, self.common, self.methods, self.seeds)

    def texts(self) -> dict[str, str]:
        """Return the text of each suite's file, by name; the trials come first."""
        shared = {"DATA": self.data, **self.constants, "COMMON": self.common, "METHODS": self.methods}
        trials = HEAD.format(
            about=f"Trials of learning rates: {_lower_first(self.about)}",
            imported="trials",
            constants=_constants(shared | {"CENTERS": self.centers}),
            returned="the trials that the rows so far ask for",
            call=f"trials.specs({self.trials!r}, COMMON, METHODS, CENTERS)",
        )
        runs = HEAD.format(
            about=self.about,
            imported="runs",
            constants=_constants(
                {ARGUMENTS: self.arguments, "TRIALS": self.trials} | shared | {"SEEDS": self.seeds}
            ),
            returned="zero-shot, and each method at the learning rate that its trials select, for each seed",
            call="runs.specs(TRIALS, COMMON, METHODS, SEEDS)",
        )
        return {self.trials: trials, self.name: runs}

    def write(self) -> None:
        """Write both files; the file of the runs, which completes the comparison, comes last."""
        for name, text in self.texts().items():
            file = registry.comparison_file(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _constants(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_format(value)}" for name, value in values.items())


def _format(value: Any, indent: str = "") -> str:
    """Return a value as a Python literal, with one line per entry of a dictionary."""
    if isinstance(value, Mapping) and value:
        inner = indent + "    "
        lines = [f"{inner}{_format(key)}: {_format(part, inner)},\n" for key, part in value.items()]
        return f"{{\n{''.join(lines)}{indent}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_format, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def default_name(model: str, task: str, arguments: Mapping[str, Any]) -> str:
    """Return the name of a comparison: the model, the task, and a hash of all arguments.

    >>> default_name("facebook/opt-125m", "results/runs/x/reviews.toml", {})
    'opt-125m-reviews-44136f'
    """
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:6]
    return f"{folder_of(model, task)}-{digest}"


def folder_of(model: str, path: str | None, label: str | None = None, texts: Sequence[str] = ()) -> str:
    """Return a folder name from the names of a model, of a file, and of columns that the user chose.

    >>> folder_of("facebook/opt-125m", "data/my reviews.csv")
    'opt-125m-my-reviews'
    >>> folder_of("facebook/opt-125m", "data/my reviews.csv", "tone", ["body"])
    'opt-125m-my-reviews-tone-body'
    """
    stems = [Path(text).name.partition("@")[0].partition(".")[0] for text in (model, path or "") if text]
    stems += filter(None, (label, *texts))
    words = ["".join(c if c.isalnum() or c == "_" else "-" for c in text).strip("-") for text in stems]
    return "-".join(filter(None, words)) or "comparison"


def is_continued(name: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether a comparison of this name, with these arguments, has been written.

    Raises:
        UserError: a comparison of this name has other arguments, or its file is not that of a comparison.
    """
    file = registry.comparison_file(name)
    if not file.exists():
        return False
    before = stored_arguments(file)
    if before == json.loads(json.dumps(arguments)):
        return True
    changed = sorted(key for key in {*before, *arguments} if before.get(key) != arguments.get(key))
    raise UserError(
        f"{file} is a comparison with other arguments ({', '.join(changed)}): choose another --name, or "
        f"remove {file.parent} and {file.parent}{TRIALS}"
    )


def stored_arguments(file: Path) -> dict[str, Any]:
    """Return the arguments of the comparison in a file.

    Raises:
        UserError: the file cannot be read, or it is not a comparison's.
    """
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        values = [line.value for line in body if isinstance(line, ast.Assign) and _binds(line, ARGUMENTS)]
        return json.loads(json.dumps(ast.literal_eval(values[0])))
    except (OSError, SyntaxError, ValueError, IndexError) as error:
        raise UserError(
            f"{file} is not the file of a comparison ({type(error).__name__}): remove it"
        ) from None


def _binds(line: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in line.targets)


def names_of(methods: Sequence[str]) -> str:
    """Return names as a list in prose.

    >>> names_of(["addax"]), names_of(["addax", "mezo", "adam"])
    ('addax', 'addax, mezo, and adam')
    """
    if len(methods) < 3:
        return " and ".join(methods)
    return f"{', '.join(methods[:-1])}, and {methods[-1]}"
