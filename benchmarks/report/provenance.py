"""The provenance of a table's numbers: runs, commit, versions, hardware, dates, data."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.report.tables import NONE
from benchmarks.results.comparable import budget_of, label_of


def provenance_line(rows: Sequence[dict]) -> str:
    """Return the provenance of rows as one line of text."""
    return "; ".join(f"{name}: {fact}" for name, fact in provenance_fields(rows).items()) + "."


def provenance_fields(rows: Sequence[dict]) -> dict[str, str]:
    """Return the provenance of rows by name, without fields that no row has."""
    statuses = [row["status"] for row in rows if "status" in row]
    configs = [row["config"] for row in rows if "config" in row]
    data = ["local folder" if c.get("data") not in ("builtin", "hub") else c["data"] for c in configs]
    commits = [
        str(r.get("git_commit") or "unknown")[:7] + ("+changes" if r.get("git_dirty") else "") for r in rows
    ]
    versions = [f"{k} {v}" for row in rows for k, v in (row.get("versions") or {}).items() if v]
    days = sorted(str(row[key])[:10] for row in rows for key in ("started", "ended") if row.get(key))
    found = {
        "runs": f"{statuses.count('done')} of {len(statuses)} done" if statuses else NONE,
        "out of memory": sum(status == "OOM" for status in statuses) or None,
        "batch sizes halved to fit": _distinct(filter(None, map(_halved, rows))),
        "seeds": _distinct(sorted({c["seed"] for c in configs if c.get("seed") is not None})),
        "budget": _budgets(rows),
        "data": _distinct(data),
        "data commits": _distinct(_commits(rows, "task", "data_commit")),
        "model commits": _distinct(_commits(rows, "model", "model_commit")),
        "dtype": _distinct(c.get("dtype") for c in configs),
        "batch size": _distinct(row.get("batch_size") for row in rows),
        "commit": _distinct(commits),
        "versions": _distinct(versions),
        "hardware": _distinct(row.get("hardware") for row in rows),
        "threads per run": _distinct(row.get("threads") for row in rows),
        "simultaneous runs": _distinct(row.get("jobs") for row in rows),
        "memory measurement": _distinct(row.get("peak_how") for row in rows),
        "dates": NONE if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
    }
    return {name: str(fact) for name, fact in found.items() if fact and fact != NONE}


def _budgets(rows: Sequence[Mapping]) -> str:
    """Return the budgets of runs as text: one amount if all (or all of a model) are equal, else per method.

    >>> run = {"config": {"model": "nano-opt", "method": "mezo", "steps": 20000}, "label": "MeZO"}
    >>> _budgets([run, {"config": run["config"] | {"method": "addax", "steps": 1000}, "label": "Addax"}])
    'unequal steps (MeZO 20000, Addax 1000)'
    """
    given: dict[str, list[tuple[str, str, float]]] = {}
    for row in rows:
        if "config" in row and (found := budget_of(row["config"])):
            entry = (row["config"]["model"], label_of(row), found[1])
            given.setdefault(found[0].replace("_", "-"), []).append(entry)
    parts = []
    for name, entries in given.items():
        methods, models = (_amounts((entry[i], entry[2]) for entry in entries) for i in (1, 0))
        if len(given) == 1 and len({amount for *_, amount in entries}) == 1:
            return f"equal {name} ({entries[0][2]:g})"
        if len(given) == 1 and all(len(amounts) == 1 for amounts in models.values()):
            return f"equal {name} on each model ({_listed(models)})"
        parts.append(f"unequal {name} ({_listed(methods)})")
    return ", ".join(parts) or NONE


def _amounts(given: Iterable[tuple[str, float]]) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for name, amount in given:
        found.setdefault(name, set()).add(amount)
    return found


def _listed(amounts: Mapping[str, set[float]]) -> str:
    return ", ".join(
        f"{name} {' or '.join(f'{v:g}' for v in sorted(values))}" for name, values in amounts.items()
    )


def _halved(row: Mapping) -> str | None:
    """Describe how a run's batch sizes were reduced to fit; None if they were not."""
    used, tried = row.get("batch_sizes") or {}, row.get("batch_sizes_tried") or []
    if row.get("status") != "done" or not tried:
        return None
    changed = [f"{name} {tried[0][name]} to {size}" for name, size in used.items() if tried[0][name] != size]
    return f"{label_of(row)} on {row.get('task_title') or row['config']['task']} ({', '.join(changed)})"


def _commits(rows: Sequence[Mapping], what: str, field: str) -> list[str]:
    """Return each model or task that came from the hub, with the commit that was loaded.

    >>> _commits([{"config": {"model": "facebook/opt-13b"}, "model_commit": "e515202d1e7750da"}], "model",
    ...          "model_commit")
    ['facebook/opt-13b e515202']
    """
    return [f"{row['config'][what]} {row[field][:7]}" for row in rows if "config" in row and row.get(field)]


def _distinct(values: Iterable) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or NONE
