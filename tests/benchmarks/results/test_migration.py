"""Tests of the migration of rows to schema 2."""

import hashlib
import json
import runpy

import pytest

from benchmarks import registry
from benchmarks.config.methods import takes_both_batches
from benchmarks.config.spec import from_dict
from benchmarks.results.row import checksum

REFERENCE = registry.ROOT / "results" / "reference"
MIGRATE = runpy.run_path(str(registry.ROOT / "scripts" / "migrate_rows.py"))
# Schema 1 omitted these fields from an id if they had these values.
OMITTED = {"examples": None, "forward_equivalents": None, "parameters": "all", "shots": None}


def committed_runs():
    for file in sorted(REFERENCE.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if "config" in row:
                yield file.stem, row


def config_of_schema_1(config):
    """Invert the migration of a config, independently of the migration script."""
    old = dict(config)
    settings = old.pop("settings")
    threshold = old.pop("length_threshold")
    if takes_both_batches(config["method"]):
        settings = settings | {"length_threshold": threshold}
    old["parameters"] = old.pop("trainable")
    return old | {"set": dict(sorted(settings.items()))}


def id_of_schema_1(config):
    old = config_of_schema_1(config)
    values = {k: v for k, v in old.items() if k not in OMITTED or v != OMITTED[k]}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def test_a_row_of_schema_1_keeps_every_measurement(tmp_path):
    _, row = next(committed_runs())
    old = {k: v for k, v in row.items() if k not in ("schema", "checksum", "realized_fraction")}
    old |= {
        "config": config_of_schema_1(row["config"]),
        "id": id_of_schema_1(row["config"]),
        "realised_fraction": row["realized_fraction"],
        "peak_predicted": 1,
        "peak_predicted_split": {"parameters": 1},
    }
    file = tmp_path / f"{old['id']}.json"
    file.write_text(json.dumps(old))
    assert MIGRATE["main"]([str(file)]) == 0
    (moved,) = tmp_path.iterdir()
    assert moved.name == f"{row['id']}.json"
    # The migration fills in the settings that were added since the row was committed.
    expected = row | {"config": from_dict(row["config"]).config()}
    expected |= {"checksum": checksum(expected)}
    assert json.loads(moved.read_text()) == expected
    assert MIGRATE["main"]([str(moved)]) == 0
    assert json.loads(moved.read_text()) == expected


def test_a_row_of_a_study_names_its_study(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"benchmark": "arithmetic", "drift": 0.5}) + "\n")
    assert MIGRATE["main"]([str(file)]) == 0
    assert json.loads(file.read_text()) == {"study": "precision", "drift": 0.5}


def test_a_changed_or_missing_row_is_a_one_line_error_and_stays(tmp_path, capsys):
    _, row = next(committed_runs())
    old = {"config": config_of_schema_1(row["config"]), "id": "a", "checksum": "0" * 16}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(old))
    for path, message in ((file, "changed after it was written"), (tmp_path / "b.json", "No such file")):
        assert MIGRATE["main"]([str(path)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert json.loads(file.read_text()) == old


def test_the_migration_without_files_prints_its_usage(capsys):
    assert MIGRATE["main"]([]) == 2
    assert "scripts/migrate_rows.py FILE" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), [("asked", "ablations"), ("asked-sensitivity", "sensitivity")])
def test_renamed_suites_are_renamed_in_their_rows(old, new):
    assert MIGRATE["SUITES"][old] == new
    assert not (REFERENCE / f"{old}.jsonl").exists()
    _, row = next(committed_runs())
    before = {k: v for k, v in row.items() if k not in ("schema", "checksum")}
    before |= {"config": config_of_schema_1(row["config"]), "suite": old}
    assert MIGRATE["migrated"](before)["suite"] == new
