"""Measure what tracking with wandb costs a run: python scripts/tracking_cost.py [REPEATS]

It runs one run of suite `quick` without wandb and with `--wandb offline`, alternately and in one process, and
prints the medians. "training" is the time of the steps, which tracking must not change. "whole run" includes
the wait for wandb at the end. "first run" also includes the start of wandb's process.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import suites
from benchmarks.results import store
from benchmarks.sweep.worker import run_spec

MODES = ("disabled", "offline")


def main(repeats: int) -> None:
    """Print seconds per run by mode."""
    spec = next(spec for spec in suites.load("quick") if (spec.method, spec.task) == ("addax", "sst2"))
    training, whole = {mode: [] for mode in MODES}, {mode: [] for mode in MODES}
    with TemporaryDirectory() as folder:
        store.RUNS = Path(folder)
        # The first round loads libraries, the model, and the data.
        for _ in range(repeats + 1):
            for mode in MODES:
                began = perf_counter()
                run_spec(spec, suite="cost", folder=None, jobs=1, wandb=mode)
                whole[mode].append(perf_counter() - began)
                row = store.read_row(store.folder("cost") / f"{spec.id}.json")
                training[mode].append(row["train_seconds"])
    print(f"{'seconds':<12}{'training':>12}{'whole run':>12}{'first run':>12}")
    for mode in MODES:
        medians = (median(training[mode][1:]), median(whole[mode][1:]), whole[mode][0])
        print(f"{mode:<12}" + "".join(f"{seconds:>12.3f}" for seconds in medians))


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "repeats", metavar="REPEATS", nargs="?", type=int, default=5, help="runs per mode (default: 5)"
    )
    main(parser.parse_args().repeats)
