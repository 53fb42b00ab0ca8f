"""Convert result rows from schema 1 to schema 2: `python scripts/migrate_rows.py FILE [FILE ...]`.

Schema 2 (November 2026) renames two fields of a run's config (`set` -> `settings`, `parameters` ->
`trainable`), makes `length_threshold` a separate field, spells `realized_fraction` with a z, and drops the
predicted peaks, which reports compute. Because ids depend on configs, the ids of runs change. Files are
rewritten in place. Rows that already have schema 2 do not change.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.config.spec import from_dict
from benchmarks.files import write_atomically
from benchmarks.results.row import checksum

SCHEMA = 2
SUITES = {
    "asked": "ablations",
    "asked-sensitivity": "sensitivity",
    "asked-opt-13b": "ablations-opt-13b",
}
STUDIES = {"agreement": "memory-validation", "arithmetic": "precision", "memory": "memory-curves"}
DROPPED = ("checksum", "peak_predicted", "peak_predicted_split")


def migrated(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in schema 2. A run's row gets a new id and checksum.

    Raises:
        ValueError: if the row was changed after it was written.
    """
    if "benchmark" in row:
        name = row["benchmark"]
        others = {key: value for key, value in row.items() if key != "benchmark"}
        return others | {"study": STUDIES.get(name, name)}
    if row.get("schema") == SCHEMA or "config" not in row:
        return row
    if "checksum" in row and row["checksum"] != checksum(row):
        raise ValueError("a row was changed after it was written: remove it, or run it again")
    new = {key: value for key, value in row.items() if key not in DROPPED}
    if "realised_fraction" in new:
        new["realized_fraction"] = new.pop("realised_fraction")
    new["schema"] = SCHEMA
    new["suite"] = SUITES.get(row.get("suite"), row.get("suite"))
    new["config"] = migrated_config(row["config"])
    new["id"] = from_dict(new["config"]).id
    return new | {"checksum": checksum(new)}


def migrated_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a run's config in schema 2."""
    fields = {key: value for key, value in config.items() if key not in ("set", "parameters")}
    settings = dict(config["set"])
    fields["trainable"] = config.get("parameters", "all")
    fields["length_threshold"] = settings.pop("length_threshold", None)
    # Build the spec, so that fields that did not exist in schema 1 get their defaults.
    return from_dict(fields | {"settings": settings}).config()


def main(files: list[str]) -> int:
    """Rewrite every file, and return the exit code."""
    if not files:
        print(__doc__.split("\n", 1)[0], file=sys.stderr)
        return 2
    for file in map(Path, files):
        try:
            migrate(file)
        except (OSError, ValueError) as error:
            print(f"error: {file}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
            return 2
    return 0


def migrate(file: Path) -> None:
    """Rewrite one file. A file with a single run is renamed to its new id. Interruptions lose no row."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".jsonl":
        rows = [migrated(json.loads(line)) for line in text.splitlines() if line.strip()]
        write_atomically(file, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
        return
    row = migrated(json.loads(text))
    target = file.with_name(f"{row['id']}.json") if "id" in row else file
    write_atomically(target, json.dumps(row, indent=1, sort_keys=True) + "\n")
    if target != file:
        file.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
