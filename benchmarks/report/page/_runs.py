"""Single runs: a table of all of them, and what the page shows of one: result, config, curve, provenance."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.report.analysis import Analysis
from benchmarks.report.page._cells import Table, table
from benchmarks.report.tables import NONE, unit_of
from benchmarks.results.comparable import budget_of
from benchmarks.results.frame import chosen, run_id

# What a run's row says of where it comes from; all else that is no config or curve is its result.
PROVENANCE = (
    "id", "suite", "started", "ended", "git_commit", "git_dirty", "hardware", "threads", "jobs", "versions",
    "data_fingerprint", "source_fingerprint", "task_version", "checksum", "resumed_at_steps",
)  # fmt: skip
_ELSEWHERE = (*PROVENANCE, "config", "curve", "label", "task_title")
CHOSEN, TRIED, APART = "in the tables", "tried", "set apart"
# The drawing of a curve, in its own units.
WIDTH, HEIGHT = 300, 80


def runs(found: Analysis) -> list[dict]:
    """Every run once, the newest row of each, with what the page shows of it.

    Returns:
        For each: id, model, task, method (as tables name them), role (`CHOSEN`, `TRIED` or `APART`), row (as
        it was written), and detail (what `_detail` makes).
    """
    newest = {run_id(row): row for row in sorted(found.rows, key=lambda row: str(row.get("ended") or ""))}
    named = {line.id: line for line in found.data.itertuples()}
    picked = set(chosen(found.data)["id"])
    place = {id: at for at, id in enumerate(found.data["id"])}
    listed = []
    for id in sorted(newest, key=lambda id: (place.get(id, len(place)), id)):
        row, line = newest[id], named.get(id)
        config = row["config"]
        names = {
            "model": line.model if line else config["model"],
            "task": config["task"],
            "method": line.label if line else row.get("label") or config["method"],
        }
        role = APART if line is None else CHOSEN if id in picked else TRIED
        title = row.get("task_title") or config["task"]
        listed.append(
            {"id": id, **names, "role": role, "row": row, "detail": _detail(row, names["method"], title)}
        )
    return listed


def runs_table(listed: Sequence[dict], found: Analysis) -> Table:
    """The table of all single runs; each number leads to its run."""
    (memory, unit, fine), (time, clock, digits) = (
        unit_of(name, found.means) for name in ("peak_bytes", "seconds")
    )

    def number(value: Any, form: str, scale: float = 1) -> str:
        return NONE if value is None else f"{value / scale:{form}}"

    texts = []
    for run in listed:
        row, config, test = run["row"], run["row"]["config"], run["row"].get("test") or {}
        budget = budget_of(config)
        texts.append(
            {
                "run": run["id"][:8],
                "model": run["model"],
                "task": row.get("task_title") or run["task"],
                "method": run["method"],
                "seed": NONE if config.get("seed") is None else str(config["seed"]),
                "score (%)": number(row.get("score"), ".1f", 0.01),
                f"memory ({unit})": number(row.get("peak_bytes"), f".{fine}f", memory),
                f"time to best ({clock})": number(row.get("train_seconds_to_best"), f".{digits}f", time),
                "status": row.get("status") or "failed",
                "use": run["role"],
                "AUC": number(test.get("auc"), ".3f"),
                "loss": number(test.get("loss"), ".3f"),
                "lr": number((config.get("settings") or {}).get("lr"), "g"),
                "budget": f"{budget[1]:g} {budget[0].replace('_', '-')}" if budget else NONE,
                "best step": number(row.get("best_step"), "g"),
                "data seed": str(config.get("data_seed") or 0),
                "ended": str(row.get("ended") or NONE)[:16].replace("T", " "),
            }
        )
    shown = pd.DataFrame(texts)
    data = shown.assign(run=[run["id"] for run in listed])
    note = (
        "Every run of the suite. Use: in the tables; tried, where another setting was better on validation "
        "rows; or set apart."
    )
    made = table("All runs", "runs-all", shown, data, note, lambda i: f"#run-{listed[i]['id']}")
    for run, line in zip(listed, made.lines, strict=True):
        line[0] = line[0]._replace(href=f"#run-{run['id']}")
    return made


def details(listed: Sequence[dict]) -> dict[str, dict]:
    """What the page opens: id -> names by which links find a run, and its detail."""
    return {
        run["id"]: {name: run[name] for name in ("model", "task", "method")}
        | {"chosen": "yes" if run["role"] == CHOSEN else "no"}
        | run["detail"]
        for run in listed
    }


def _detail(row: Mapping, method: str, title: str) -> dict:
    """Texts alone: a heading, sections of names and values, and the curve."""
    config = row["config"]
    result = {k: v for k, v in row.items() if k not in _ELSEWHERE}
    settings = {k: v for k, v in config.items() if k != "settings"} | (config.get("settings") or {})
    score = "" if row.get("score") is None else f", {100 * row['score']:.1f} %"
    return {
        "title": f"{method} on {title}, {config['model']}, seed {config.get('seed')}",
        "status": f"{row.get('status') or 'failed'}{score}",
        "sections": [
            ["Result", _pairs(result)],
            ["Config", _pairs(settings)],
            ["Provenance", _pairs({name: row.get(name) for name in PROVENANCE})],
        ],
        "curve": _curve(row.get("curve") or []),
    }


def _pairs(values: Mapping[str, Any], within: str = "") -> list[list[str]]:
    """Names and values as text, those of inner mappings after theirs; what is not known is left out."""
    pairs: list[list[str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += _pairs(value, f"{within}{name}.")
        elif value is not None and value != []:
            pairs.append([within + name, _text(value)])
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _curve(curve: Sequence[Mapping]) -> dict:
    """Evaluations as a table of texts, and score and loss as points of a line from left to right."""
    names = list(dict.fromkeys(name for evaluation in curve for name in evaluation))
    rows = [["" if e.get(name) is None else _text(e[name]) for name in names] for e in curve]
    lines = {}
    for name in ("score", "loss"):
        points = [(e["step"], e[name]) for e in curve if e.get(name) is not None and "step" in e]
        if len(points) > 1:
            lines[name] = {"points": _points(points), "from": _text(points[0][1]), "to": _text(points[-1][1])}
    return {"names": names, "rows": rows, "lines": lines}


def _points(points: Sequence[tuple[float, float]]) -> str:
    """Points as an SVG polyline has them, each axis from the least to the greatest value.

    >>> _points([(0, 0.5), (10, 1.0)])
    '0,80 300,0'
    """
    places = []
    for values, size in zip(zip(*points, strict=True), (WIDTH, HEIGHT), strict=True):
        low, span = min(values), (max(values) - min(values)) or 1
        places.append([size * (value - low) / span for value in values])
    return " ".join(f"{x:.4g},{HEIGHT - y:.4g}" for x, y in zip(*places, strict=True))
