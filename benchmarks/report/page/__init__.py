"""The report as one HTML page that needs no network: summary, tables, figures, and every run behind a number.

The page opens from disk; all that it shows lies in it. Tables are sorted and filtered by DataTables, as the
package itables brings it.
"""

import base64
import json
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from benchmarks import registry
from benchmarks.report.analysis import Analysis
from benchmarks.report.page import _cells, _costs, _figures, _runs, _summary
from benchmarks.report.stats_tables import bold_note
from benchmarks.report.tables import facts
from benchmarks.results.frame import ordered, run_id

HERE = Path(__file__).resolve().parent
# What of `benchmarks.report.tables.facts` stands open; versions and the like are a click away.
FACTS = ("runs", "out of memory", "seeds", "budget", "data", "hardware", "dates")


def write(
    found: Analysis,
    drawn: dict[str, dict[str, Figure]],
    root: Path,
    missing: Sequence[dict] | None = None,
    gone: int = 0,
) -> Path:
    """Writes `results/tables/<suite>/report.html`.

    Args:
        found: the suite's rows and what is computed from them.
        drawn: `plots.__main__.draw`'s of them.
        root: the folder that holds `results/`.
        missing: the suite's runs without a row (model, task, label, seed); None where that is not known.
        gone: how many rows are left out because the suite no longer has their settings.

    Returns:
        The page.
    """
    listed, told = _runs.runs(found), facts(found.kept)
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("page.html.j2").render(
        suite=found.suite,
        about=_about(found.suite),
        facts={name: fact for name, fact in told.items() if name in FACTS},
        more_facts={name: fact for name, fact in told.items() if name not in FACTS},
        models=[_model(found, model) for model in ordered(found.means, "model")],
        bold=bold_note(found.tests),
        incomplete=_summary.incomplete(found, missing, gone),
        tables=[_cells.made(stem, made) for stem, made in found.made.items()],
        runs=_runs.runs_table(listed, found),
        figures=list(_figures.shown(drawn, found.data)),
        undrawn=_figures.undrawn(drawn),
        failures=[entry | {"id": run_id(entry["row"])} for entry in _summary.failures(found.rows)],
        missing=missing or [],
        aside=found.aside,
        details=_json({"runs": _runs.details(listed), "width": _runs.WIDTH, "height": _runs.HEIGHT}),
        css=_asset("page.css"),
        js=_asset("page.js"),
        datatables_css=Markup(_bundle("css")),
        datatables=_json({"imports": {"datatables": _address(_bundle("js"))}}),
    )
    folder = root / "results" / "tables" / found.suite
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    return file


def _about(suite: str) -> str:
    return registry.summary("suite", suite) if suite in registry.files("suite") else ""


def _model(found: Analysis, model: str) -> dict:
    means = found.means[found.means["model"] == model]
    costs = _costs.table(means)
    labels = [_costs.SUBJECT, *costs.get("method", [])]
    link = partial(_cells.runs_link, model=model)
    return {
        "name": model,
        "short": _summary.in_short(found, model),
        "said": _summary.of_model(found, model),
        "blocks": _cells.blocks(found, model),
        "costs": _cells.table(
            f"Cost of {_costs.SUBJECT} beside others", _cells.id_of("costs", model), costs, costs,
            "Above 1 it takes more. Over the tasks that both finished: memory by the mean of peaks, time by "
            "the sum of training times to the chosen checkpoints.",
            lambda i: link(method=[labels[0], labels[i + 1]]),
        ) if len(costs) else None,
    }  # fmt: skip


def _asset(name: str) -> Markup:
    """A file of this folder, which holds nothing of a row."""
    return Markup((HERE / name).read_text(encoding="utf-8"))


def _bundle(kind: str) -> str:
    """DataTables and its extensions as one file, as itables uses it without a network."""
    return (files("itables") / "html" / f"dt_bundle.{kind}").read_text(encoding="utf-8")


def _address(script: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(script.encode()).decode()


def _json(value: object) -> Markup:
    """JSON that may stand inside a script element, whatever texts it holds."""
    text = json.dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
