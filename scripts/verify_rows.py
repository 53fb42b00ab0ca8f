"""Verify committed rows of older code by reruns: `python scripts/verify_rows.py SUITE [SUITE ...]`.

A row of a suite is stale if other code than today's made it. For each setting with stale rows, the script
repeats the run that took the least time. If the rerun agrees with its committed row in every evaluation to
the last bit, it is added to `results/reruns.csv`, and the rows of its setting count as current. Otherwise its
setting stays stale, and the exit code is 1: measure the suite again. Commit the code first.

Another kind of processor gives other last bits. There, `--older DIR` also repeats the runs with the code that
made the rows, in a checkout of its commit (`git worktree add DIR COMMIT`), and compares the two reruns.
The rows of the reruns are in `results/runs/SUITE.verify/`. A killed script continues when it starts again.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cli import options
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.docs.stale import is_stale
from benchmarks.errors import UserError
from benchmarks.report.agreement import compare
from benchmarks.results import reruns, store
from benchmarks.results.sources import ROOT, committed_rows

REPEAT = Path(__file__).resolve().with_name("repeat_runs.py")


def main(argv: list[str]) -> int:
    """Verify the suites and return the exit code."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("suites", nargs="+", metavar="SUITE")
    parser.add_argument("--older", type=Path, metavar="DIR", help="a checkout of the code that made the rows")
    parser.add_argument("--data", metavar="DIR", help="the folder with the data of suites of real tasks")
    args = parser.parse_args(argv)
    try:
        folder = None if args.data is None else options.source_of(args.data, "builtin")[1]
        return max(verify(name, folder, args.older) for name in args.suites)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def verify(suite: str, folder: str | None = None, older: Path | None = None, root: Path = ROOT) -> int:
    """Repeat a run of each stale setting of a suite.

    Args:
        suite: name of the suite.
        folder: the folder with the data of real tasks; None if the suite needs none.
        older: a checkout of the code that made the rows; None compares with the rows.
        root: the folder that contains the committed `results/`.

    Returns:
        1 if a run failed or gave other numbers, else 0.

    Raises:
        UserError: the suite has no committed rows, its runs end with an error, or other code than that in
            `older` made the rows.
    """
    committed = {row["id"]: row for row in committed_rows(suite, root)}
    if not committed:
        raise UserError(f"suite {suite!r} has no committed rows to verify")
    specs = stale_specs(committed.values(), reruns.Known(reruns.read(root)))
    if not specs:
        print(f"{suite}: all {len(committed)} rows are current")
        return 0
    before = {spec.id: committed[spec.id] for spec in specs}
    threads = {run: row.get("threads") or 1 for run, row in before.items()}
    if older is not None:
        made = {run: row["source_fingerprint"] for run, row in before.items()}
        before = repeat(specs, older, suite, "older", made, folder, threads)
        if other := [run for run, row in before.items() if row["source_fingerprint"] != made[run]]:
            commit = committed[other[0]].get("git_commit")
            raise UserError(f"{older} is not the code of run {other[0]}: check out {commit}")
    today = {spec.id: source_fingerprint(spec) for spec in specs}
    after = repeat(specs, ROOT, suite, "today", today, folder, threads)
    agreed = [c for c in compare(after.values(), [*before.values()]) if c.to_the_bit]
    if agreed:
        reruns.add((reruns.of_rows(suite, c.reference, c.row) for c in agreed), root)
    print(f"{suite}: {len(agreed)} of {len(specs)} settings agree to the last bit")
    for run in sorted(after.keys() - {c.row["id"] for c in agreed}):
        row = committed[run]
        print(f"  not {row['label']} on {row['config']['task']}, {row['config']['model']} (run {run})")
    return int(len(agreed) < len(specs))


def repeat(
    specs: Sequence[RunSpec],
    tree: Path,
    suite: str,
    which: str,
    fingerprints: Mapping[str, str],
    folder: str | None,
    threads: Mapping[str, int],
) -> dict[str, dict]:
    """Repeat runs with the code of a checkout, and return their rows by id.

    Args:
        specs: the runs.
        tree: the checkout.
        suite, which: name the folder of the rows. In the suite's own folder, a report would show them alone.
        fingerprints: by run. A row from before that has another one is measured again.
        folder: see `verify`.
        threads: number of threads of each run, by run.

    Raises:
        UserError: a process ends with an error.
    """
    out = store.folder(f"{suite}.verify") / which
    for run, fingerprint in fingerprints.items():
        file = out / f"{run}.json"
        if file.exists() and json.loads(file.read_text())["source_fingerprint"] != fingerprint:
            file.unlink()
    jobs = max(1, (os.cpu_count() or 1) // max(threads.values()))
    environment = os.environ | {"PYTHONPATH": str(tree.resolve())}
    started = []
    for first in range(min(jobs, len(specs))):
        part = specs[first::jobs]
        request = {"configs": [spec.config() for spec in part], "threads": [threads[s.id] for s in part]}
        request |= {"folder": folder and str(Path(folder).resolve()), "out": str(out.resolve())}
        process = subprocess.Popen(
            [sys.executable, str(REPEAT)], stdin=subprocess.PIPE, cwd=tree, env=environment, text=True
        )
        started.append(process)
        process.stdin.write(json.dumps(request))
        process.stdin.close()
    codes = [process.wait() for process in started]
    if any(codes):
        raise UserError(f"{suite}: a run with the code in {tree} ended with an error")
    return {spec.id: json.loads((out / f"{spec.id}.json").read_text()) for spec in specs}


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
