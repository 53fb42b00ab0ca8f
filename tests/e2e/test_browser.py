"""Tests of the HTML report in a headless browser: it opens from disk, offline, and its table works."""

import re
import shutil

import pytest

from benchmarks.report import page as report_page
from benchmarks.report.analysis import analyze
from benchmarks.report.suite_rows import SuiteRows
from benchmarks.results.frame import Results
from plots import render
from tests.benchmarks.results import result_rows

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed"),
]
HTML_NAME = "</script><b id=broken>x"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not work for root in a container.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def rows():
    """Return rows of two tasks on two models, and one row of a method whose name is HTML."""
    return [
        *result_rows.suite(models=("nano-opt", "nano-llama"), tasks=("sst2", "rte"), seeds=(0, 1)),
        result_rows.row("sgd", "sst2", label=HTML_NAME, status="failed", reason=HTML_NAME) | {"id": "own"},
    ]


@pytest.fixture(scope="module")
def opened(browser, rows, tmp_path_factory):
    """Open the page without a network, and return it with its requests and its JavaScript errors."""
    results = Results.of(rows)
    file = report_page.write(
        analyze("demo", results),
        render.draw(["figure1"], results),
        tmp_path_factory.mktemp("page"),
        SuiteRows(rows, "somewhere", 0, []),
    )
    page = browser.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url.split(",")[0]))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())
    page.goto(file.as_uri())
    page.wait_for_selector("#runs_wrapper tbody tr")
    return page, requests, errors


def test_the_page_shows_its_figures_and_makes_no_requests(opened):
    page, requests, errors = opened
    assert page.inner_text("h1") == "demo"
    assert page.locator("figure img").count() == 2
    assert page.locator("#broken").count() == 0
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []


def test_the_table_of_runs_is_searchable(opened, rows):
    page, _, errors = opened
    page.fill("#runs_wrapper .dt-search input", "MeZO-SVRG")
    page.wait_for_function("document.querySelector('#runs_wrapper .dt-info').innerText.includes('filtered')")
    methods = page.eval_on_selector_all(
        "#runs tbody tr", "lines => lines.map(line => line.cells[3].innerText.trim())"
    )
    assert methods == ["MeZO-SVRG"] * sum(row["label"] == "MeZO-SVRG" for row in rows)
    assert errors == []
