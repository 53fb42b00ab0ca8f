"""Tests of the HTML report: it matches the rows, is small and self-contained, and escapes labels."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from benchmarks.report import page
from benchmarks.report.analysis import analyze
from benchmarks.report.suite_rows import SuiteRows
from benchmarks.results.frame import Results
from plots import render
from tests.benchmarks.results import result_rows as made

NASTY = "</script><b>x & 'y' \"z\""
TASKS = ("sst2", "rte", "cb")


class Parsed(HTMLParser):
    """A parsed page: the attributes of its elements, the order of some, and the texts of cells and items."""

    def __init__(self, text):
        super().__init__()
        self.found, self.order, self.cells, self.items, self._in = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag in ("h1", "h2", "img", "table"):
            self.order.append(tag)
        self._in = tag
        if tag in ("td", "li"):
            (self.cells if tag == "td" else self.items).append("")

    def handle_data(self, data):
        if self._in in ("td", "b") and self.cells:
            self.cells[-1] += data
        elif self._in == "li":
            self.items[-1] += data

    def handle_endtag(self, tag):
        self._in = ""


def written(rows, folder, drawn=None, **more):
    results = Results.of(rows)
    found = SuiteRows(rows, "somewhere", more.get("outdated", 0), more.get("missing"))
    return page.write(analyze("demo", results), drawn or {}, folder, found).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows():
    """Return rows of three tasks on two models.

    One run is out of memory, one cell has two more seeds, and one run has another budget.
    """
    rows = made.suite(models=("nano-opt", "nano-llama"), tasks=TASKS)
    out = made.row("sgd", "cb", "nano-opt", status="OOM", reason="8 rows, then 1")
    rows = [out if row["label"] == "SGD" and row["config"]["task"] == "cb"
            and row["config"]["model"] == "nano-opt" else row for row in rows]  # fmt: skip
    other = made.row("adam", "rte", "nano-llama", seed=7)
    other["config"] |= {"steps": 999}
    return [*rows, *(made.row("adam", "rte", "nano-llama", seed) for seed in (1, 2)), other]


@pytest.fixture(scope="module")
def text(rows, tmp_path_factory):
    missing = [{"model": "nano-opt", "task": "wsc", "label": "MeZO", "seed": 3}]
    drawn = render.draw(["figure1"], Results.of(rows))
    return written(rows, tmp_path_factory.mktemp("page"), drawn, missing=missing, outdated=4)


def runs_of(text):
    """Return the data of the table of all runs."""
    data = re.search(r'"data_json": "(.*?)(?<!\\)"', text).group(1)
    return json.loads(json.loads(f'"{data}"'))


def test_the_page_begins_with_a_figure_and_the_summary_table(text):
    assert Parsed(text).order[:4] == ["h1", "img", "h2", "table"]


def test_figures_are_images_inside_the_page(text):
    images = [attrs["src"] for tag, attrs in Parsed(text).found if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert Image.open(BytesIO(base64.b64decode(image.partition("base64,")[2]))).format == "PNG"


def test_every_score_of_a_single_seed_is_in_a_table(rows, text):
    cells = set(Parsed(text).cells)
    for row in rows:
        if row["score"] is not None and row["config"]["model"] == "nano-opt":
            assert f"{100 * row['score']:.1f}" in cells


def test_the_scores_by_length_follow_the_scores(tmp_path):
    rows = made.with_lengths(made.suite(tasks=("sst2", "rte")))
    text = written(rows, tmp_path)
    headings = ["Accuracy on test data", "on long test rows", "on short test rows", "<details>"]
    places = [text.index(heading) for heading in headings]
    assert places == sorted(places)
    assert "Long rows have more tokens than: SST-2 40; RTE 40." in text
    shown = set(Parsed(text).cells)
    for part in ("test_long", "test_short"):
        assert {f"{100 * row[part]['score']:.1f}" for row in rows} <= shown
    assert "on long test rows" not in written(made.suite(tasks=("sst2",)), tmp_path)


def test_every_run_has_a_line_that_shows_how_it_was_used(rows, text):
    lines = runs_of(text)
    assert {line[-1] for line in lines} == {row["id"] for row in rows}
    uses = {line[-1]: line[0] for line in lines}
    assert {uses[row["id"]] for row in rows if row["config"]["steps"] == 999} == {page.EXCLUDED}
    assert list(uses.values()).count(page.IN_TABLES) == len(rows) - 1


def test_failed_missing_and_excluded_runs_are_listed(text):
    items = "\n".join(Parsed(text).items)
    for line in (
        "SGD on CB, nano-opt, seed 0: OOM, 8 rows, then 1",
        "Missing 1 run of the suite: MeZO on wsc, nano-opt, seed 3.",
        "Excluded 1 row with another budget.",
        "Skipped rows whose settings are no longer part of this suite: 4.",
    ):
        assert line in items


def test_the_page_loads_no_external_resources(text):
    for tag, attrs in Parsed(text).found:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:")) or tag == "a", (tag, name, value[:80])


def test_labels_cannot_break_the_page(tmp_path):
    rows = made.suite(tasks=("sst2",))
    rows.append(made.row("adam", "sst2", label=NASTY, reason=NASTY, status="failed"))
    rows.append(made.row("mezo", "sst2", label=f"MeZO {NASTY}"))
    text = written(rows, tmp_path)
    assert NASTY in Parsed(text).cells
    assert "<b>x" not in text
    assert text.count("</script>") == written(made.suite(tasks=("sst2",)), tmp_path).count("</script>")


def test_only_a_significant_winner_is_bold(tmp_path):
    scores = {"addax": 0.5, "mezo": 0.9, "sgd": 0.6}
    rows = [
        made.row(method, "sst2", seed=seed) | {"score": score + seed / 1000}
        for method, score in scores.items()
        for seed in range(8)
    ]
    assert re.findall(r"<b>(.*?)</b>", written(rows, tmp_path)) == ["90.3 ± 0.2"]


def test_figures_without_rows_name_the_command_that_produces_them(tmp_path):
    text = written(made.suite(tasks=("sst2",)), tmp_path)
    assert "convergence: <code>python -m benchmarks sweep quick</code>" in text


def test_the_same_rows_give_the_same_page(tmp_path):
    rows = made.suite(tasks=("sst2",))
    pages = [written(rows, tmp_path / name, render.draw(["figure1"], Results.of(rows))) for name in "ab"]
    assert pages[0] == pages[1]


@pytest.mark.slow
def test_a_page_of_a_whole_suite_is_smaller_than_two_megabytes(tmp_path):
    rows = made.suite(models=("nano-opt", "nano-llama", "nano-roberta"))
    drawn = render.draw(render.defaults("quick"), Results.of(rows))
    assert len(written(rows, tmp_path, drawn)) < 2e6
