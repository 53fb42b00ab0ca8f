"""The rows of a suite's report: those that match its current settings, and the runs without a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.results.sources import join_rows, load_rows

# A message names at most this many missing runs and counts the rest.
NAMED = 3
# Fields that command-line options may override in a suite's specs.
OVERRIDABLE = ("data", "device")


@dataclass(frozen=True)
class SuiteRows:
    """The rows of a suite.

    Attributes:
        rows: rows that match the suite's current settings, including failed runs.
        source: the folder or file that the rows were read from.
        outdated: number of rows that were skipped because their settings are no longer part of the suite.
        missing: the suite's runs without a row (model, task, label, seed); None if the name is not a suite.
    """

    rows: list[dict]
    source: str
    outdated: int
    missing: list[dict] | None


def collect(suite: str, root: Path, folders: Sequence[Path] | None = None) -> SuiteRows:
    """Return the rows of a suite.

    Args:
        suite: name of a suite, or of a user's folder in `results/runs/`.
        root: the folder that contains `results/`.
        folders: folders of shards to read instead.

    Raises:
        UserError: no row matches the suite's current settings, the rows belong to a study, or two folders
            have different rows of one run.
    """
    if folders:
        rows, source = join_rows(folders), ", ".join(map(str, folders))
    else:
        rows, source = load_rows(suite, root)
    if any("config" not in row for row in rows):
        raise UserError(f"{source} holds rows of a study: run `python -m benchmarks plots` to draw them")
    specs = _specs(suite, rows)
    if specs is None:
        return SuiteRows(rows, source, 0, None)
    found = {row["id"] for row in rows}
    present = [row for row in rows if any(row["id"] in ids for ids, _ in specs)]
    if not present:
        raise UserError(
            f"none of the {len(rows)} rows in {source} match the current settings of suite {suite!r}: "
            f"run `python -m benchmarks sweep {suite}`"
        )
    missing = [run for ids, run in specs if not ids & found]
    return SuiteRows(present, source, len(rows) - len(present), missing)


def _specs(suite: str, rows: Sequence[dict]) -> list[tuple[set[str], dict]] | None:
    """Return the possible ids and the description of each run of a suite; None if the suite does not exist.

    A run has one id per combination of data and device that occurs in the rows.
    """
    if not registry.is_suite(suite):
        return None
    # Imported here, because specs need torch and the tables of other folders do not.
    from benchmarks import suites
    from benchmarks.config.labels import label

    overrides = {tuple(str(row["config"].get(name)) for name in OVERRIDABLE) for row in rows}
    found = []
    for spec in suites.load(suite):
        ids = set()
        for values in overrides:
            try:
                ids.add(spec.replace(**dict(zip(OVERRIDABLE, values, strict=True))).id)
            except UserError:
                # This run is not possible with these data or device, so the row belongs to another run.
                continue
        run = {"model": spec.model, "task": spec.task, "label": label(spec), "seed": spec.seed}
        found.append((ids, run))
    return found


def missing_line(missing: Sequence[dict]) -> str:
    """Return one line that counts the runs without a row and names the first few.

    >>> missing_line([{"label": "MeZO", "task": "wsc", "model": "nano-opt", "seed": 3}])
    'Missing 1 run of the suite: MeZO on wsc, nano-opt, seed 3.'
    """
    named = [f"{r['label']} on {r['task']}, {r['model']}, seed {r['seed']}" for r in missing[:NAMED]]
    more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    runs = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
    return f"Missing {runs} of the suite: {'; '.join(named)}{more}."
