"""The rows that a suite's report is about: those of its present settings, and the runs that have none yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.results.sources import join_rows, load_rows

# Missing runs that are named one by one.
NAMED = 3
# A suite may run on other data or another device than its specs say.
PLACE = ("data", "device")


@dataclass(frozen=True)
class SuiteRows:
    """Rows of a suite.

    Attributes:
        rows: rows of the suite's present settings, failed ones among them.
        source: where they are from.
        outdated: how many rows of other settings were left out.
        missing: the suite's runs without a row (model, task, label, seed); None for a name that is no suite.
    """

    rows: list[dict]
    source: str
    outdated: int
    missing: list[dict] | None


def collect(suite: str, root: Path, folders: Sequence[Path] | None = None) -> SuiteRows:
    """Return the rows of a suite.

    Args:
        suite: name of a suite, or of a user's own folder in `results/runs/`.
        root: the folder that holds `results/`.
        folders: read these instead, which hold shards of the suite.

    Raises:
        UserError: there are no rows of the suite's present settings, the rows are a study's, or two
            folders hold different rows of one run.
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
    """Each run of the suite: its ids on the data and devices that rows have, and what it is."""
    if suite not in registry.files("suite"):
        return None
    # Specs need torch, which the tables of other folders do without.
    from benchmarks import suites
    from benchmarks.config.labels import label

    places = {tuple(str(row["config"].get(name)) for name in PLACE) for row in rows}
    found = []
    for spec in suites.load(suite):
        ids = set()
        for place in places:
            try:
                ids.add(spec.replace(**dict(zip(PLACE, place, strict=True))).id)
            except UserError:
                # No run can be at such a place: the row is of something else.
                continue
        run = {"model": spec.model, "task": spec.task, "label": label(spec), "seed": spec.seed}
        found.append((ids, run))
    return found


def missing_line(missing: Sequence[dict]) -> str:
    """Return one line on runs without a row: how many, and the first few.

    >>> missing_line([{"label": "MeZO", "task": "wsc", "model": "nano-opt", "seed": 3}])
    'Missing 1 run of the suite: MeZO on wsc, nano-opt, seed 3.'
    """
    named = [f"{r['label']} on {r['task']}, {r['model']}, seed {r['seed']}" for r in missing[:NAMED]]
    more = f"; and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    runs = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
    return f"Missing {runs} of the suite: {'; '.join(named)}{more}."
