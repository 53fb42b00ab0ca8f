"""Sources of result rows: local runs of a suite, committed rows, or a user's files."""

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from benchmarks import registry
from benchmarks.errors import UserError, unknown
from benchmarks.results.row import checksum, read

ROOT = registry.ROOT


def load_rows(name: str, root: Path = ROOT) -> tuple[list[dict], str]:
    """Return rows as written, and their source: the local runs, or the committed rows if there are no runs.

    Args:
        name: name of a suite ("quick"), a study ("precision"), or a user's folder in `results/runs/`.
        root: the folder that contains `results/`.

    Raises:
        UserError: neither source has a row, or a file is not a result row.
    """
    runs, reference = root / "results/runs" / name, root / "results/reference" / f"{name}.jsonl"
    for source, files in ((runs, sorted(runs.glob("*.json"))), (reference, [reference])):
        rows = [row for file in files if file.exists() for row in read(file)]
        if rows:
            return rows, source.relative_to(root).as_posix()
    known = {*registry.files("suite"), *registry.files("study")}
    known |= {f.stem for f in reference.parent.glob("*.jsonl")}
    known |= {f.name for f in runs.parent.glob("*") if f.is_dir()}
    if name not in known:
        raise unknown("suite", name, known)
    command = f"study {name} --save" if name in registry.files("study") else f"sweep {name}"
    raise UserError(f"no rows of {name!r} yet: run `python -m benchmarks {command}`")


def known_rows(name: str, root: Path = ROOT) -> list[dict]:
    """Return the rows of a suite as `load_rows` does; empty if there are none."""
    try:
        return load_rows(name, root)[0]
    except UserError:
        return []


def committed_rows(name: str, root: Path = ROOT) -> list[dict]:
    """Return the committed rows of a suite or study; empty if there are none."""
    file = root / "results" / "reference" / f"{name}.jsonl"
    return read(file) if file.exists() else []


def match_rows(pattern: str) -> list[dict]:
    """Return the rows of all files that match a glob pattern: `.json` (one row) or `.jsonl` (one per line).

    Raises:
        UserError: nothing matches, or a file is not a result row.
    """
    rows = [row for name in sorted(glob(pattern, recursive=True)) for row in read(Path(name))]
    if not rows:
        raise UserError(
            f"no result rows match {pattern!r}: use a pattern such as 'results/runs/quick/*.json'"
        )
    return rows


def join_rows(folders: Sequence[Path]) -> list[dict]:
    """Join the rows of several folders, such as shards of a suite that share no disk; each run counts once.

    Args:
        folders: folders of `.json` or `.jsonl` files.

    Raises:
        UserError: a folder has no rows, or two rows of a run differ.
    """
    found: dict[str, tuple[dict, Path]] = {}
    for folder in folders:
        files = sorted([*folder.glob("*.json"), *folder.glob("*.jsonl")])
        rows = [(row, file) for file in files for row in read(file)]
        if not rows:
            raise UserError(
                f"{folder}: no result rows (.json or .jsonl files) in this folder; pass the folder of a suite"
            )
        for row, file in rows:
            if "id" not in row:
                raise UserError(f"{file}: rows of a study cannot be joined, only runs of a suite")
            before = found.setdefault(row["id"], (row, file))
            if checksum(before[0]) != checksum(row):
                raise UserError(
                    f"two different rows of run {row['id']}, in {before[1]} and {file}: remove one of them"
                )
    return [row for row, _ in found.values()]
