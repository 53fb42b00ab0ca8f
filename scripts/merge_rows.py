"""Merge rows of studies into results/reference/: `python scripts/merge_rows.py FOLDER [FOLDER ...]`.

A folder contains files NAME.jsonl, which `python -m benchmarks study NAME --save-to FOLDER` writes, as on a
machine whose working tree is not kept. New rows replace committed rows with the same setting.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import registry, studies
from benchmarks.errors import UserError
from benchmarks.results.row import read


def main(folders: list[str]) -> int:
    """Merge the rows of all folders, and return the exit code."""
    if not folders:
        print(__doc__.split("\n", 1)[0], file=sys.stderr)
        return 2
    try:
        files = [file for folder in folders for file in files_of(Path(folder))]
        for file in files:
            rows = read(file)
            target = os.path.relpath(studies.merge(file.stem, rows), registry.ROOT)
            print(f"{file}: {len(rows)} rows -> {target}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("next: python -m benchmarks docs; python -m benchmarks plots")
    return 0


def files_of(folder: Path) -> list[Path]:
    """Return the files of rows in a folder.

    Raises:
        UserError: there are none, or one does not belong to a study.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UserError(f"{folder}: no rows (NAME.jsonl)")
    for file in files:
        # An unknown name gets the nearest one.
        registry.path("study", file.stem)
    return files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
