"""Time and memory of reading a data file in each format, with all checks, in a fresh process per format.

The rows are built-in rows of BoolQ: a passage, a question, and a boolean. Reading includes the conversion to
canonical rows, the checks of everything that the task renders from them, and the division into training and
test rows.
"""

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tabulate import tabulate

from benchmarks import registry, tasks
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Option, Study

TASK = "boolq"
CHILD = Path(__file__).with_name("_read_file.py")
# Limits for 100,000 rows.
ROWS, SECONDS, BYTES = 100_000, 10.0, 500e6
Rows = Sequence[Mapping[str, Any]]


def _lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _jsonl(file: Path, rows: Rows) -> None:
    file.write_text(_lines(rows), encoding="utf-8")


def _compressed(file: Path, rows: Rows) -> None:
    file.write_bytes(gzip.compress(_lines(rows).encode()))


def _json(file: Path, rows: Rows) -> None:
    file.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _delimited(file: Path, rows: Rows) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0], delimiter="\t" if file.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)


def _parquet(file: Path, rows: Rows) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".jsonl": _jsonl,
    ".jsonl.gz": _compressed,
    ".json": _json,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
}


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict]:
    """Return a row per format with the seconds and the peak memory of reading."""
    rng, generate = Random(0), tasks.load(TASK).generate
    say(f"generating {options.rows:,} rows")
    rows = [{**row, "label": bool(row["label"])} for row in (generate(rng) for _ in range(options.rows))]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write in WRITERS.items():
            say(f"{suffix}: writing and reading")
            file = Path(folder, f"rows{suffix}")
            write(file, rows)
            found.append(
                {
                    "format": suffix,
                    "rows": options.rows,
                    "file_bytes": file.stat().st_size,
                    **read_afresh(file),
                    **provenance_fields("cpu"),
                }
            )
            file.unlink()
    return found


def read_afresh(file: Path) -> dict[str, Any]:
    """Return the number of rows, the seconds, and the peak bytes of a new process that reads a file."""
    command = [sys.executable, str(CHILD), str(file), TASK]
    environment = os.environ | {"PYTHONPATH": str(registry.ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"reading {file.name} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def table(rows: Sequence[dict]) -> str:
    """Return a Markdown table of the seconds and the peak memory of each format."""
    lines = [
        {
            "format": row["format"],
            "rows": f"{row['rows']:,}",
            "file (MB)": f"{row['file_bytes'] / 1e6:.1f}",
            "seconds": f"{row['seconds']:.1f}",
            "peak (MB)": f"{row['peak_bytes'] / 1e6:.0f}",
        }
        for row in rows
    ]
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=["left", *["right"] * 4])


def excess(rows: Sequence[dict]) -> str | None:
    """Return a message if a format lost rows, or took more than the limits for 100,000 rows; else None."""
    for row in rows:
        name, scale = row["format"], max(1.0, row["rows"] / ROWS)
        if row["count"] != row["rows"]:
            return f"{name}: read {row['count']} of {row['rows']} rows"
        if row["seconds"] > SECONDS * scale:
            return f"{name}: {row['seconds']:.1f} s, more than {SECONDS * scale:g} s"
        if row["peak_bytes"] > BYTES * scale:
            return f"{name}: {row['peak_bytes'] / 1e6:.0f} MB, more than {BYTES * scale / 1e6:g} MB"
    return None


STUDY = Study(
    measure,
    table,
    key=("format", "rows", "hardware"),
    options=(Option("rows", "number of rows", ROWS, int),),
    problem=excess,
)
