"""The HTML report in a headless browser: it renders, sorts, filters, opens a run, and asks for nothing."""

import re
import shutil
import time

import pytest
from plots.__main__ import draw

from benchmarks.report import page as html
from benchmarks.report.analysis import analyse
from benchmarks.results import frame as _rows
from tests.benchmarks.results import result_rows as made

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome is installed"),
]
TASKS = ("sst2", "rte", "cb")
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
    """Three tasks on two models, and a method of the reader's own whose name is HTML."""
    return [
        *made.suite(models=("nano-opt", "nano-llama"), tasks=TASKS, seeds=(0, 1)),
        made.row("sgd", "sst2", label=NASTY, status="failed", reason=NASTY) | {"id": "own"},
    ]


def written(rows, folder):
    return html.write(analyse("demo", rows), draw("figure1", _rows.frame(rows)), folder)


@pytest.fixture(scope="module")
def file(rows, tmp_path_factory):
    return written(rows, tmp_path_factory.mktemp("page"))


class Opened:
    """A page of a context that has no network, and what went wrong in it."""

    def __init__(self, browser, file, width=1280, scheme="light"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.asked, self.wrong = [], []
        self.context.route(re.compile(r"^(?!file:|data:|blob:)"), self._abort)
        self.page.on("request", lambda request: self.asked.append(request.url.split(",")[0]))
        self.page.on("console", lambda told: self.wrong.append(told.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        begin = time.perf_counter()
        self.page.goto(file.as_uri(), wait_until="commit")
        self.page.wait_for_selector("nav")
        self.rendered = time.perf_counter() - begin
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)

    def _abort(self, route):
        self.wrong.append(f"asked for {route.request.url}")
        route.abort()

    def comes_to(self, table, title, texts):
        """Waits until a column has these texts, empty entries aside: a click is over before its drawing."""
        end = time.monotonic() + 10
        while (found := [text for text in self.column(table, title) if text != "–"]) != texts:
            assert time.monotonic() < end, (found, texts)
            self.page.wait_for_timeout(20)

    def column(self, table, title):
        """The texts of a column as they stand."""
        return self.page.eval_on_selector(
            f"#{table} table.data",
            """(table, title) => {
                const heads = [...table.tHead.rows[0].cells].map((cell) => cell.innerText.trim());
                const at = heads.indexOf(title);
                return [...table.tBodies[0].rows].map((row) => row.cells[at].innerText.trim());
            }""",
            title,
        )

    def opened(self, title):
        """Waits for the runs that a click has asked for: the address changes first, the page then."""
        self.page.wait_for_selector(f"#detail-title:text-is('{title}')")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()
        if error[0] is None:
            assert self.wrong == []


def test_it_renders_and_asks_for_nothing(browser, file):
    with Opened(browser, file) as it:
        assert it.page.inner_text("h1") == "demo"
        assert it.page.locator("figure svg").count() == 2
        assert it.page.locator("#broken").count() == 0
        assert it.page.get_by_text(NASTY).count()
        assert [url for url in it.asked if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in it.asked if url.startswith("file:")]) == 1


def test_a_column_sorts_by_numbers_both_ways(browser, file, rows):
    with Opened(browser, file) as it:
        it.page.select_option("#runs-all .dt-length select", "-1")
        head = it.page.locator("#runs-all th", has_text="memory")
        told = [row["peak_bytes"] for row in rows if row["peak_bytes"]]
        for order in (sorted(told), sorted(told, reverse=True)):
            head.locator(".dt-column-title").click()
            it.comes_to("runs-all", "memory (MB)", [f"{value / 1e6:.1f}" for value in order])


def test_search_and_a_column_s_filter_leave_the_rows_asked_for(browser, file, rows):
    with Opened(browser, file) as it:
        it.page.select_option("#runs-all .dt-length select", "-1")
        it.page.fill("#runs-all .dt-search input", "Adam")
        it.comes_to("runs-all", "method", ["Adam"] * sum(row["label"] == "Adam" for row in rows))
        it.page.fill("#runs-all .dt-search input", "")
        it.page.locator("#runs-all th", has_text="task").locator(".dtcc-button").click()
        it.page.locator(".dtcc-dropdown .dtcc-list-buttons button", has_text="RTE").click()
        it.comes_to("runs-all", "task", ["RTE"] * sum(row["config"]["task"] == "rte" for row in rows))


def test_a_score_opens_its_runs_and_a_run_its_detail(browser, file, rows):
    own = [r for r in rows if r["label"] == "Addax" and r["config"]["task"] == "rte"]
    own = [r for r in own if r["config"]["model"] == "nano-opt"]
    with Opened(browser, file) as it:
        line = it.page.locator("#score-nano-opt tr", has=it.page.get_by_text("Addax", exact=True))
        line.locator("td").nth(2).click()
        it.opened("2 runs")
        summaries = it.page.locator("dialog summary")
        assert [f"seed {r['config']['seed']}" in text for r, text in zip(
            own, summaries.all_inner_texts(), strict=True
        )] == [True, True]  # fmt: skip
        summaries.first.click()
        detail = it.page.locator("dialog details").first
        for text in ("Curve", "length_threshold", "git_commit", own[0]["git_commit"], own[0]["hardware"]):
            detail.get_by_text(text, exact=True).first.wait_for()
        assert detail.locator("svg polyline").count() == 2
        it.page.keyboard.press("Escape")
        it.page.wait_for_function("!location.hash")
        it.page.locator("#runs-all td a").first.click()
        it.opened("1 run")
        it.page.click("dialog button")
        assert not it.page.locator("dialog").is_visible()


def test_an_address_with_a_run_opens_it(browser, file, rows):
    with Opened(browser, file) as it:
        it.page.evaluate(f"location.hash = '#run-{rows[-1]['id']}'")
        it.page.wait_for_selector("dialog[open]")
        assert NASTY in it.page.inner_text("dialog summary")


def test_dark_and_light_are_legible(browser, file):
    for scheme, darker in (("light", "color"), ("dark", "backgroundColor")):
        with Opened(browser, file, scheme=scheme) as it:
            for place in ("body", "#runs-all td", "#runs-all input", "nav a"):
                light = {
                    name: it.page.eval_on_selector(
                        place,
                        """(element, name) => {
                            let value;
                            do value = getComputedStyle(element)[name];
                            while (value === "rgba(0, 0, 0, 0)" && (element = element.parentElement));
                            return value.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => +a + +b, 0) / 765;
                        }""",
                        name,
                    )
                    for name in ("color", "backgroundColor")
                }
                other = ({*light} - {darker}).pop()
                assert light[other] - light[darker] > 0.4, (scheme, place, light)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser, file, width):
    with Opened(browser, file, width) as it:
        assert it.page.evaluate("document.documentElement.scrollWidth") <= width
        it.page.locator("#runs-all td a").first.click()
        it.opened("1 run")
        assert it.page.evaluate("document.documentElement.scrollWidth") <= width
        box = it.page.locator("dialog").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_a_figure_s_csv_is_downloaded_with_no_network(browser, file):
    with Opened(browser, file) as it:
        with it.page.expect_download() as told:
            it.page.locator("figcaption a").first.click()
        text = told.value.path().read_text(encoding="utf-8")
        assert told.value.suggested_filename.endswith(".csv")
        assert text.startswith("model,")


def test_a_thousand_rows_open_without_a_wait(browser, tmp_path):
    """A bound that a slow machine keeps: what it forbids is a page that stands still for half a minute."""
    rows = made.suite(tasks=("sst2",), seeds=range(150))
    page = html.write(analyse("demo", rows), {}, tmp_path)
    with Opened(browser, page) as it:
        assert len(it.page.query_selector_all("#runs-all tbody tr")) == 25
        assert f"of {len(rows):,} entries" in it.page.inner_text("#runs-all .dt-info")
        assert it.rendered < 15
        begin = time.perf_counter()
        it.page.locator("#runs-all td a").first.click()
        it.page.wait_for_selector("dialog[open] svg, dialog[open] table")
        assert time.perf_counter() - begin < 5


def test_without_scripts_all_of_it_is_still_there(browser, file, rows):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#runs-all tbody tr").count() == len(rows)
    assert page.locator("#runs-all tbody tr").last.is_visible()
    context.close()
