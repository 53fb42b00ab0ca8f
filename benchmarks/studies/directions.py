"""Random signs against normal directions: the variance of the estimate, and scores and steps over ten seeds.

The variance is that of nano-opt's SST-2 loss in float64, for all of its parameters and for its last norm.
Runs are those of suite `quick` with MeZO and Addax, in pairs that differ in the direction only. Their
learning rates were tuned with signs.

The four tasks have one kind of answer each: one of two words (SST-2), one of three (CB), a name from the
prompt (ReCoRD), and free text (SQuAD).

With --save, rows are written as they are measured, and what already has a row from the same code is not
measured again.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch

from addax.noise import DIRECTIONS
from benchmarks import models, studies, tasks
from benchmarks.config.fingerprint import source_fingerprint, study_fingerprint
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.evaluation.scoring import Scorer
from benchmarks.profiling.environment import provenance_fields
from benchmarks.results import store
from benchmarks.results.row import read
from benchmarks.studies import Option, Study, _direction_tables, _estimator_variance
from benchmarks.suites import quick
from benchmarks.training import run

NAME, MODEL = "directions", "nano-opt"
METHODS = ("mezo", "addax")
TASKS = ("sst2", "cb", "record", "squad")
SEEDS = 10
# Frequent validations locate the step at which a run reaches a score.
ROWS = {"evaluations": 10, "test_rows": 300}
DRAWS, EXAMPLES = 2000, 4
VARIANCE_TASK = "sst2"
ALL, NORM = "all parameters", "last norm"
PROVENANCE = ("versions", "hardware", "threads", "git_commit", "git_dirty")

Row = dict[str, Any]


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[Row]:
    """Return the rows of all variances and runs, and save each at once if the options say so."""
    rows = []
    for row in _rows(options, _saved() if options.save else {}):
        rows.append(row)
        if options.save:
            studies.save(NAME, [row])
        say(_line(row))
    return rows


def specs(names: list[str], seeds: int) -> Iterator[RunSpec]:
    """Yield the runs, so that every pair of runs with normals and with signs is adjacent."""
    for seed, task, method, direction in product(range(seeds), names, METHODS, DIRECTIONS):
        yield from_dict(quick.run_of(method, MODEL, task, seed) | ROWS | {"direction": direction})


def _rows(options: argparse.Namespace, saved: dict[tuple, Row]) -> Iterator[Row]:
    for which, direction in product((ALL, NORM), DIRECTIONS):
        key = which, direction, options.draws, study_fingerprint(NAME)
        yield saved.get(key) or _variance(which, direction, options.draws)
    for spec in specs(options.task or list(TASKS), options.seeds):
        yield saved.get((spec.id, source_fingerprint(spec))) or _run(spec)


def _saved() -> dict[tuple, Row]:
    """Return the saved rows by what was measured and the fingerprint of the code that measured it."""
    file = store.REFERENCE / f"{NAME}.jsonl"
    rows = read(file) if file.exists() else []
    return {_key(row): row for row in rows}


def _key(row: Row) -> tuple:
    if row["measure"] == "run":
        # The tables of the study may change without a new run.
        return row["id"], row["run_fingerprint"]
    return row["which"], row["direction"], row["draws"], row["source_fingerprint"]


def _variance(which: str, direction: str, draws: int) -> Row:
    """Return the row of the variance of the estimate of some parameters."""
    loaded = models.load(MODEL, dtype=torch.float64, device="cpu", head="lm")
    task = tasks.load(VARIANCE_TASK)
    examples = load_splits(VARIANCE_TASK, "builtin", train=EXAMPLES, validation=1, test=1, seed=0).train
    batch = encode(examples, task, loaded, "lm")
    model, scorer = loaded.model.eval(), Scorer(loaded, task)
    if which == NORM:
        norm = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)][-1]
        model.requires_grad_(False)
        norm.requires_grad_(True)
    found = _estimator_variance.measure(model, lambda: scorer.loss(batch), direction, draws)
    return {
        "measure": "variance",
        "model": MODEL,
        "task": VARIANCE_TASK,
        "task_title": task.title,
        **tasks.versions(task, "builtin"),
        "data": "builtin",
        "which": which,
        **found,
        **provenance_fields(),
    }


def _run(spec: RunSpec) -> Row:
    """Return the row of a run."""
    row = run.run(spec, run.load(spec, None), suite=NAME)
    return {
        "measure": "run",
        "id": spec.id,
        "run_fingerprint": row["source_fingerprint"],
        "model": spec.model,
        "task": spec.task,
        "task_title": row["task_title"],
        **tasks.versions(tasks.load(spec.task), spec.data),
        "data": spec.data,
        "method": spec.method,
        "label": row["label"],
        "direction": spec.settings["direction"],
        "seed": spec.seed,
        "lr": spec.settings["lr"],
        "steps": spec.steps,
        "test_rows": spec.test_rows,
        "metric": row["metric"],
        "outcome": row["status"],
        "score": row["score"],
        "majority": row["majority"],
        "curve": [[point["step"], point["score"]] for point in row["curve"]],
        **{name: row[name] for name in PROVENANCE},
    }


def _line(row: Row) -> str:
    if row["measure"] == "variance":
        value, error, exact = row["total"]
        return f"{row['which']}, {row['direction']}: total variance {value:.0f} +- {error:.0f}, exact {exact}"
    score = "no score" if row["score"] is None else f"{100 * row['score']:.1f}"
    return f"{row['label']}, {row['direction']}, {row['task']}, seed {row['seed']}: {score}"


STUDY = Study(
    measure,
    _direction_tables.table,
    key=("measure", "which", "task", "method", "direction", "seed"),
    order=lambda row: (
        row["measure"] == "run",
        str(row.get("which")),
        METHODS.index(row.get("method", METHODS[0])),
        row["task"],
        row.get("seed", 0),
        row["direction"],
    ),
    tables={
        "variance": _direction_tables.variance,
        "scores": _direction_tables.scores,
        "steps": _direction_tables.steps,
    },
    options=(
        Option("task", f"tasks (default: {' '.join(TASKS)})", many=True, metavar="NAME"),
        Option("seeds", "number of seeds", SEEDS, int),
        Option("draws", "number of directions for the variance", DRAWS, int),
    ),
    problem=_direction_tables.problem,
)
