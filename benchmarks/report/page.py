"""The report as a single HTML page that opens from disk and needs no network.

The page begins with a figure and the summary table. DataTables, bundled with the package itables, sorts and
filters the table of individual runs.
"""

import base64
import io
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from itables import to_html_datatable
from itables.javascript import generate_init_offline_itables_html
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import registry
from benchmarks.config.names import METRIC_NAMES
from benchmarks.report import by_length
from benchmarks.report.analysis import Analysis
from benchmarks.report.provenance import provenance_fields
from benchmarks.report.stats_tables import bold_note
from benchmarks.report.suite_rows import SuiteRows, missing_line
from benchmarks.report.tables import NONE, block_of, head_of, seeds_of
from benchmarks.results.comparable import format_budget, label_of, lines, names_of
from benchmarks.results.majority import LABEL
from benchmarks.results.order import display_order, score_unit
from plots import render

HERE = Path(__file__).resolve().parent
# DataTables and its extensions in one file, which itables ships for offline use.
BUNDLE = Path(str(files("itables") / "html" / "dt_bundle.js"))
DPI = 130
# Figures have few colors, so a palette halves the size of the page.
COLORS = 64
IN_TABLES, TRIED, EXCLUDED = "in the tables", "tried", "excluded"


def write(analysis: Analysis, drawn: dict[str, dict[str, Figure]], root: Path, found: SuiteRows) -> Path:
    """Write `results/tables/<suite>/report.html` and return its path.

    Args:
        analysis: the contents of the report.
        drawn: the figures from `plots.render.draw`; figure1, or else the first figure, opens the page.
        root: the folder that contains `results/`.
        found: the suite's rows and missing runs.
    """
    suite, results = analysis.suite, analysis.results
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    first = sorted(drawn, key=lambda name: name != "figure1")
    figures = [
        {"about": f"{stem}: {render.about(name)}", "png": _png(canvas)}
        for name in first
        for stem, canvas in drawn[name].items()
    ]
    html = environment.get_template("page.html.j2").render(
        suite=suite,
        about=registry.summary("suite", suite) if registry.is_suite(suite) else "",
        figures=figures,
        models=[_blocks(analysis, model) for model in display_order(results.means, "model")],
        notes=[*filter(None, (bold_note(analysis.tests, results.means), by_length.note(results.means)))],
        provenance=provenance_fields(results.comparable),
        incomplete=_incomplete(analysis, found),
        failures=_failures(analysis),
        directions=results.directions,
        tables=[(table.head, _table(table.table), table.note) for table in analysis.tables.values()],
        runs=_runs(analysis),
        others=[(name, render.command_for(name)) for name in render.defaults(suite) if name not in drawn],
        datatables=Markup(generate_init_offline_itables_html(BUNDLE)),
    )
    file = root / "results" / "tables" / suite / "report.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(html, encoding="utf-8")
    return file


def _png(figure: Figure) -> str:
    """Return a figure as a PNG in a data URL."""
    buffer, small = io.BytesIO(), io.BytesIO()
    with render.PAGE.style():
        figure.savefig(buffer, format="png", dpi=DPI)
    Image.open(buffer).convert("RGB").quantize(COLORS).save(small, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()


def _table(texts: pd.DataFrame) -> Markup:
    """Return a table of texts as HTML; text between ** becomes bold."""
    html = texts.to_html(index=False, border=0, escape=True)
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html))


def _blocks(analysis: Analysis, model: str) -> dict[str, Any]:
    """Return one model's tables of scores, and those of memory, predicted memory, and time."""
    means = analysis.results.means.assign(predicted=analysis.predicted, predicted_std=float("nan"))
    block, winners = means[means["model"] == model], analysis.winners
    tables = {
        name: (head_of(name, means), _table(block_of(part, column, means, " ± ", "**{}**", winners)))
        for name, column in by_length.measures(means).items()
        if not (part := by_length.shown(block, name)).empty
    }
    costs = [tables.pop("memory"), tables.pop("time")]
    if block["predicted"].notna().any():
        predicted = block.assign(peak_bytes=block["predicted"], peak_bytes_std=float("nan"))
        table = _table(block_of(predicted, "peak_bytes", means))
        costs.insert(1, (head_of("memory", means).replace("Peak", "Predicted peak"), table))
    return {"name": model, "seeds": seeds_of(block), "scores": [*tables.values()], "costs": costs}


def _incomplete(analysis: Analysis, found: SuiteRows) -> list[str]:
    """Return a line for the missing runs and for each reason why rows were excluded or skipped."""
    items = [missing_line(found.missing)] if found.missing else []
    items += lines(analysis.results.excluded)
    if found.outdated:
        items.append(f"Skipped rows whose settings are no longer part of this suite: {found.outdated}.")
    return items


def _failures(analysis: Analysis) -> list[str]:
    """Return one line per run without a score."""
    return [
        f"{label_of(row)} on {row.get('task_title') or row['config']['task']}, {row['config']['model']}, "
        f"seed {row['config'].get('seed')}: {row['status']}, {row.get('reason') or 'no reason recorded'}"
        for row in analysis.results.rows
        if row["status"] != "done"
    ]


def _runs(analysis: Analysis) -> Markup:
    """Return the table of all individual runs, with their settings and provenance."""
    results = analysis.results
    comparable, selected = set(results.runs["id"]), set(results.selected["id"])
    rows, unit = sorted(results.rows, key=lambda row: row["id"]), score_unit(results.runs)
    table = pd.DataFrame(
        {
            "use": IN_TABLES if row["id"] in selected else TRIED if row["id"] in comparable else EXCLUDED,
            **_run(row, name, unit),
        }
        for row, name in zip(rows, names_of(rows), strict=True)
    )
    if table[LABEL].isna().all():
        table = table.drop(columns=LABEL)
    return Markup(
        to_html_datatable(
            table, table_id="runs", connected=False, showIndex=False, maxBytes=0, pageLength=25,
            classes="display compact nowrap", display_logo_when_loading=False,
        )
    )  # fmt: skip


def _run(row: Mapping[str, Any], name: str, unit: str) -> dict[str, Any]:
    """Return a run's line: its identity, scores in a unit, costs, settings, and provenance."""
    config, test = row["config"], row.get("test") or {}
    settings = config["settings"] | {"length_threshold": config.get("length_threshold")}
    scores, peak = (row.get("score"), row.get("majority")), row.get("peak_bytes")
    score, majority = (None if value is None else round(100 * value, 1) for value in scores)
    return {
        "model": config["model"],
        "task": row.get("task_title") or config["task"],
        "method": name,
        "seed": config.get("seed"),
        "data seed": config.get("data_seed"),
        "metric": METRIC_NAMES.get(row.get("metric") or "accuracy", row.get("metric")),
        f"score ({unit})": score,
        LABEL: majority,
        "loss": test.get("loss") and round(test["loss"], 4),
        "AUC": test.get("auc") and round(test["auc"], 4),
        "peak (MB)": None if peak is None else round(peak / 1e6, 1),
        "time to best (s)": row.get("train_seconds_to_best") and round(row["train_seconds_to_best"], 1),
        "status": row["status"],
        "settings": ", ".join(f"{name}={value}" for name, value in settings.items() if value is not None),
        "dtype": config.get("dtype"),
        "budget": format_budget(config),
        "best step": row.get("best_step"),
        "validation": json.dumps([point.get("score") and round(point["score"], 3) for point in row["curve"]]),
        "ended": str(row.get("ended") or NONE)[:16].replace("T", " "),
        "commit": str(row.get("git_commit") or "")[:7] + ("+changes" if row.get("git_dirty") else ""),
        "id": row["id"],
    }
