"""The HTML report in a headless browser: it opens from disk, asks for nothing, and its table works."""

import re
import shutil

import pytest

from benchmarks.report import page as report_page
from benchmarks.report.analysis import analyze
from benchmarks.report.suite_rows import SuiteRows
from benchmarks.results.frame import Results
from plots import render
from tests.benchmarks.results import result_rows as made

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed"),
]
NASTY = "</script><b id=broken>x"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # A container's root has no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def rows():
    """Two tasks on two models, and a user's own method whose name is HTML."""
    return [
        *made.suite(models=("nano-opt", "nano-llama"), tasks=("sst2", "rte"), seeds=(0, 1)),
        made.row("sgd", "sst2", label=NASTY, status="failed", reason=NASTY) | {"id": "own"},
    ]


@pytest.fixture(scope="module")
def opened(browser, rows, tmp_path_factory):
    """The page in a context without a network, and what it asked for or reported as an error."""
    results = Results.of(rows)
    file = report_page.write(
        analyze("demo", results),
        render.draw(["figure1"], results),
        tmp_path_factory.mktemp("page"),
        SuiteRows(rows, "somewhere", 0, []),
    )
    page = browser.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url.split(",")[0]))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())
    page.goto(file.as_uri())
    page.wait_for_selector("#runs_wrapper tbody tr")
    return page, asked, wrong


def test_the_page_shows_its_figures_and_asks_for_nothing(opened):
    page, asked, wrong = opened
    assert page.inner_text("h1") == "demo"
    assert page.locator("figure img").count() == 2
    assert page.locator("#broken").count() == 0
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert wrong == []


def test_the_table_of_runs_is_searched(opened, rows):
    page, _, wrong = opened
    page.fill("#runs_wrapper .dt-search input", "MeZO-SVRG")
    page.wait_for_function("document.querySelector('#runs_wrapper .dt-info').innerText.includes('filtered')")
    methods = page.eval_on_selector_all(
        "#runs tbody tr", "lines => lines.map(line => line.cells[3].innerText.trim())"
    )
    assert methods == ["MeZO-SVRG"] * sum(row["label"] == "MeZO-SVRG" for row in rows)
    assert wrong == []
