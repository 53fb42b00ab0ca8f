"""Command line: `python -m benchmarks.studies.speed scoring|step [--save]`."""

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from benchmarks import docs as readme
from benchmarks import registry
from benchmarks.results import store
from benchmarks.studies import _speed_tables
from benchmarks.studies.speed import scoring, step
from benchmarks.studies.speed._shapes import SHAPES

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SETTING = ("shape", "dtype", "batch_size", "length", "device", "hardware", "data")


def main() -> int:
    """Runs a benchmark, prints its table, and with --save keeps its rows; 1 if losses disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.speed", description=__doc__)
    each = parser.add_subparsers(dest="benchmark", required=True)
    for name, module in (("scoring", scoring), ("step", step)):
        own = each.add_parser(name, help=module.__doc__.split("\n")[0], description=module.__doc__)
        own.add_argument("--batch-size", type=int, default=4 if name == "step" else 8)
        own.add_argument("--repeats", type=int, default=5)
        own.add_argument("--save", action="store_true", help="rows into results/reference/")
        own.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        own.add_argument("--data", default="builtin", help='"builtin" or a folder with real rows')
        if name == "step":
            own.add_argument("--shape", choices=SHAPES, default="opt-125m")
            own.add_argument("--dtype", choices=DTYPES, default="float32")
            own.add_argument("--parts", nargs="+", choices=step.BARE, default=[*step.BARE], metavar="PART")
            own.add_argument("--length", type=int, default=64, help="tokens of a sequence")
    given = parser.parse_args()
    if given.benchmark == "scoring":
        rows = scoring.scoring(given.batch_size, given.repeats, given.device, given.data)
        wrong = any(row["loss_difference"] > scoring.TOLERANCE for row in rows)
    else:
        dtype = DTYPES[given.dtype]
        rows = step.step(
            given.shape, dtype, given.batch_size, given.length, given.repeats, given.device, given.parts
        )
        if given.shape == "opt-125m" and dtype == torch.float32:
            rows += step.training_step(16, given.repeats, given.device, given.data)
        wrong = False
    print(_speed_tables.table(rows))
    if given.save:
        _keep(f"speed-{given.benchmark}", rows)
    return int(wrong)


def _keep(suite: str, rows: Sequence[dict]) -> None:
    """Writes rows among the committed ones, in place of those of the same settings and hardware."""
    target = store.REFERENCE / f"{suite}.jsonl"
    before = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
    made = {_setting(row) for row in rows}
    rows = [row for row in before if _setting(row) not in made] + list(rows)
    store.write_atomically(target, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    readme.refresh(registry.ROOT / "README.md")


def _setting(row: dict) -> tuple:
    return tuple(row.get(name) for name in SETTING)


if __name__ == "__main__":
    sys.exit(main())
