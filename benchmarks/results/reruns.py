"""Reruns that agreed to the last bit: evidence that a change of code changed no number.

Every change of a source file changes the fingerprints of the runs that import it, although most changes
change no number. `results/reruns.csv` lists runs of committed suites that were repeated after such a change
and agreed with their committed rows in every evaluation. All committed rows of the same setting and of the
same older code then count as current. Runs of one setting may differ in their seeds, in the amount of their
budget, and in numbers that are not whole, such as the learning rate.

Time and memory are not compared. Those in a row remain the ones of the code that made it.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from benchmarks.config.identity import identifying
from benchmarks.config.names import BUDGETS
from benchmarks.files import write_atomically
from benchmarks.results.sources import ROOT

SEEDS = ("seed", "data_seed")


@dataclass(frozen=True, order=True)
class Rerun:
    """A committed run that other code has repeated to the last bit.

    Attributes:
        suite: name of the suite.
        run: id of the run.
        setting: see `setting_of`.
        before: the source fingerprint of the committed row.
        after: the source fingerprint of the rerun.
        commit: the commit of the rerun.
        date: the day of the rerun.
    """

    suite: str
    run: str
    setting: str
    before: str
    after: str
    commit: str
    date: str


def setting_of(row: Mapping) -> str:
    """Return 16 hexadecimal digits for what the runs of one setting have in common."""
    kept = {name: value for name, value in identifying(row["config"]).items() if name not in SEEDS}
    kept |= {name: kept[name] is not None for name in BUDGETS if name in kept}
    # A number that is 0, such as a momentum, can leave out a part of the code.
    kept["settings"] = {k: bool(v) if isinstance(v, float) else v for k, v in kept["settings"].items()}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def read(root: Path = ROOT) -> list[Rerun]:
    """Return the reruns that the repository lists."""
    path = _file(root)
    if not path.exists():
        return []
    return [Rerun(**line) for line in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))]


def add(reruns: Iterable[Rerun], root: Path = ROOT) -> Path:
    """Add reruns to the list, sorted and each once, and return the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Rerun))
    writer.writerows(astuple(rerun) for rerun in sorted({*read(root), *reruns}))
    write_atomically(_file(root), text.getvalue())
    return _file(root)


def of_rows(suite: str, committed: Mapping, rerun: Mapping) -> Rerun:
    """Return the entry of a rerun that agreed with its committed row."""
    return Rerun(
        suite,
        rerun["id"],
        setting_of(rerun),
        committed["source_fingerprint"],
        rerun["source_fingerprint"],
        rerun["git_commit"],
        rerun["ended"][:10],
    )


class Known:
    """Tells whether code gives the numbers of a row, according to a list of reruns."""

    def __init__(self, reruns: Iterable[Rerun]) -> None:
        # Code that agrees with code that agrees with a row also agrees with the row.
        self._next: dict[tuple[str, str], set[str]] = {}
        for rerun in reruns:
            self._next.setdefault((rerun.setting, rerun.before), set()).add(rerun.after)

    def agree(self, row: Mapping, fingerprint: str) -> bool:
        """Return whether reruns show that code with a fingerprint gives the numbers of a run's row."""
        setting, found = setting_of(row), {row["source_fingerprint"]}
        new = found
        while new:
            new = set().union(*(self._next.get((setting, each), ()) for each in new)) - found
            found = found | new
        return fingerprint in found


def _file(root: Path) -> Path:
    return root / "results" / "reruns.csv"
