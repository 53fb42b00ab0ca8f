"""Verify committed rows of older code by reruns: `python scripts/verify_rows.py SUITE [SUITE ...]`.

A row of a suite is stale if other code than today's made it. For each setting with stale rows, the script
repeats the run that took the least time. If the rerun agrees with its committed row in every evaluation to
the last bit, it is added to `results/reruns.csv`, and the rows of its setting count as current. Otherwise its
setting stays stale, and the exit code is 1: measure the suite again. Commit the code first.
The rows of the reruns are in `results/runs/SUITE.verify/`. A killed script continues when it starts again.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console

from benchmarks.cli import options
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.docs.stale import is_stale
from benchmarks.errors import UserError
from benchmarks.report.agreement import compare
from benchmarks.results import reruns, store
from benchmarks.results.sources import ROOT, committed_rows
from benchmarks.sweep import cards, scheduler
from benchmarks.sweep.executor import Executor
from benchmarks.sweep.local import LocalExecutor


def main(argv: list[str]) -> int:
    """Verify the suites and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="+", metavar="SUITE")
    parser.add_argument("--data", metavar="DIR", help="the folder with the data of suites of real tasks")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time (default: 2)")
    args = parser.parse_args(argv)
    try:
        return max(verify(name, args.data, args.jobs) for name in args.suites)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def verify(
    suite: str,
    folder: str | None,
    jobs: int,
    make_executor: Callable[..., Executor] = LocalExecutor,
    root: Path = ROOT,
) -> int:
    """Repeat a run of each stale setting of a suite.

    Args:
        suite: name of the suite.
        folder: the folder with the data of real tasks; None if the suite needs none.
        jobs: number of runs at the same time.
        make_executor: see `LocalExecutor`.
        root: the folder that contains `results/`.

    Returns:
        1 if a run failed or gave other numbers, else 0.

    Raises:
        UserError: the suite has no committed rows, or its data cannot be read.
    """
    committed = {row["id"]: row for row in committed_rows(suite, root)}
    if not committed:
        raise UserError(f"suite {suite!r} has no committed rows to verify")
    specs = stale_specs(committed.values(), reruns.Known(reruns.read(root)))
    if not specs:
        print(f"{suite}: all {len(committed)} rows are current")
        return 0
    scheduler.sweep(
        folder_of(suite),
        specs,
        make_executor=lambda runs: make_executor(*cards.assign({s.device for s in specs}, jobs, runs)),
        folder=None if folder is None else options.source_of(folder, "builtin")[1],
        console=Console(),
        wandb="disabled",
    )
    ids = {spec.id for spec in specs}
    repeated = [row for row in store.read_suite(folder_of(suite)) if row["id"] in ids]
    agreed = [c for c in compare(repeated, [*committed.values()]) if c.to_the_bit]
    if agreed:
        reruns.add((reruns.of_rows(suite, c.reference, c.row) for c in agreed), root)
    print(f"{suite}: {len(agreed)} of {len(specs)} settings agree to the last bit")
    for run in sorted(ids - {c.row["id"] for c in agreed}):
        row = committed[run]
        print(f"  not {row['label']} on {row['config']['task']}, {row['config']['model']} (run {run})")
    return int(len(agreed) < len(specs))


def folder_of(suite: str) -> str:
    """Return the folder of a suite's reruns. In the suite's own folder, a report would show them alone."""
    return f"{suite}.verify"


def stale_specs(rows: Iterable[Mapping], known: reruns.Known) -> list[RunSpec]:
    """Return the run of least time of each setting and older code among the stale rows.

    A run whose method, task, or model no longer exists cannot be repeated.
    """
    least: dict[tuple[str, str], Mapping] = {}
    for row in rows:
        if row["status"] == "done" and row.get("source_fingerprint") and is_stale(row, known):
            key = reruns.setting_of(row), row["source_fingerprint"]
            least[key] = min(least.get(key, row), row, key=lambda each: each["wall_seconds"])
    specs = []
    for row in least.values():
        try:
            specs.append(from_dict(row["config"]))
        except UserError as error:
            print(f"{row['label']} on {row['config']['task']} cannot be repeated: {error}")
    return specs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
