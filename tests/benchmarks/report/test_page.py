"""The HTML report says what the rows say, in one file that asks for nothing and that no label can break."""

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from statistics import mean

import pandas as pd
import pytest
from plots.__main__ import draw, figures, module_of

from benchmarks import registry
from benchmarks.report import build as report
from benchmarks.report import page as html
from benchmarks.report.analysis import analyse
from benchmarks.report.page import _costs, _figures, _summary
from benchmarks.results import frame as _rows
from tests.benchmarks.results import result_rows as made

NASTY = "</script><b>x & 'y' \"z\""
TASKS = ("sst2", "rte", "cb")


class Page(HTMLParser):
    """What is in a page: attributes of every element, texts of cells with their links, script texts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.cells, self.scripts, self.ids, self._in = [], [], {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.found.append((tag, attrs))
        self._in = [*self._in, tag][-2:]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "td":
            self.cells.append(["", None])
        elif tag == "a" and self.cells:
            self.cells[-1][1] = attrs.get("href")
        elif tag == "script":
            self.scripts[attrs.get("id") or attrs.get("type")] = ""
            self._script = attrs.get("id") or attrs.get("type")

    def handle_data(self, data):
        if self._in and self._in[-1] == "script":
            self.scripts[self._script] += data
        elif self.cells:
            self.cells[-1][0] += data.strip("\n")

    def handle_endtag(self, tag):
        if tag in ("td", "script"):
            self._in = []

    def texts(self):
        return {text.strip() for text, _ in self.cells}


def written(rows, folder, drawn=None, suite="demo", **more):
    return html.write(analyse(suite, rows), drawn or {}, folder, **more).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows():
    """Three tasks on two models; a run out of memory, one tried in vain, and one of another budget."""
    rows = [
        made.row(config["method"], config["task"], config["model"], status="OOM", reason="8 rows, then 1")
        if (config["method"], config["task"], config["model"]) == ("sgd", "cb", "nano-opt")
        else row
        for row in made.suite(models=("nano-opt", "nano-llama"), tasks=TASKS)
        for config in [row["config"]]
    ]
    other = made.row("adam", "rte", "nano-llama", seed=7)
    other["config"] |= {"steps": 999}
    more = [made.row("adam", "rte", "nano-llama", seed) for seed in (1, 2)]
    return [*rows, *more, other]


@pytest.fixture(scope="module")
def text(rows, tmp_path_factory):
    missing = [{"model": "nano-opt", "task": "wsc", "label": "MeZO", "seed": 3}]
    return written(rows, tmp_path_factory.mktemp("page"), missing=missing, gone=4)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_score_is_there_and_leads_to_its_run(rows, page):
    links = dict.fromkeys((text.strip(), href) for text, href in page.cells if href)
    for row in rows:
        if row["score"] is not None:
            assert (f"{100 * row['score']:.1f}", f"#run-{row['id']}") in links


def test_a_mean_leads_to_the_runs_that_it_is_made_of(rows, page, text):
    values = [
        100 * mean(r["score"] for r in rows if r["label"] == "MeZO" and r["config"]["model"] == "nano-opt")
    ]
    assert "1 seed." in text
    assert (f"{values[0]:.1f}", "#runs?model=nano-opt&method=MeZO&chosen=yes") in map(tuple, page.cells)


def test_the_embedded_runs_hold_config_curve_and_provenance(rows, page):
    runs = json.loads(page.scripts["details"])["runs"]
    assert set(runs) == {row["id"] for row in rows}
    for row in rows:
        run = runs[row["id"]]
        told = {name: dict(pairs) for name, pairs in run["sections"]}
        assert told["Config"]["zo_batch_size"] == str(row["config"]["settings"]["zo_batch_size"])
        assert told["Provenance"]["git_commit"] == row["git_commit"]
        assert told["Provenance"]["versions.torch"] == "2.13.0"
        assert told["Provenance"]["ended"] == row["ended"]
        assert len(run["curve"]["rows"]) == len(row["curve"])
        assert run["chosen"] == ("no" if row["config"]["steps"] == 999 else "yes")


def test_what_failed_is_missing_or_apart_is_told(text):
    assert "8 rows, then 1" in text
    assert "SGD on CB, nano-opt, seed 0" in text
    assert "1 of 45 runs without a score: 1 OOM." in text
    assert "1 run of the suite without a row yet." in text
    assert "MeZO on wsc, nano-opt, seed 3" in text
    assert "1 row set apart: of another budget." in text
    assert "4 rows left out: of settings that the suite no longer has." in text


def test_figures_without_rows_name_what_makes_them(text):
    for name in ("figure11", "sensitivity", "fits"):
        assert re.search(rf"<strong>{name}</strong>: .*<code>python -m benchmarks", text)


def test_the_page_asks_for_nothing(text):
    page = Page(text)
    for tag, attrs in page.found:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attrs.get(name) or "#"
            if not (tag == "a" and value.startswith("https://")):
                assert value.startswith(("#", "data:")), (tag, name, value[:80])
    styles = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert "@import" not in "".join(styles)
    assert all(url.startswith(("data:", "#")) for url in re.findall(r"url\([\"']?([^)]*)", "".join(styles)))


def test_labels_cannot_break_the_page(tmp_path):
    rows = made.suite(tasks=("sst2",))
    rows.append(made.row("adam", "sst2", label=NASTY, reason=NASTY, status="failed"))
    rows.append(made.row("mezo", "sst2", label=f"MeZO {NASTY}"))
    drawn = {"figure1": module_of("figure1").draw(_rows.frame(rows))}
    text = written(rows, tmp_path, drawn, suite="demo")
    page = Page(text)
    assert NASTY in page.texts()
    assert "<b>" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert json.loads(page.scripts["details"])["runs"][rows[-2]["id"]]["method"] == NASTY
    assert set(page.scripts) == {"importmap", "details", "module"}


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"addax": 0.9, "mezo": 0.6, "sgd": 0.5}, "the test supports Addax"),
        ({"addax": 0.5, "mezo": 0.9, "sgd": 0.6}, "the test supports MeZO"),
    ],
)
def test_the_winner_is_the_one_that_the_rows_have(scores, said, tmp_path):
    rows = [
        made.row(method, "sst2", seed=seed) | {"score": score + seed / 1000}
        for method, score in scores.items()
        for seed in range(8)
    ]
    found = analyse("demo", rows)
    short = _summary.in_short(found, "nano-opt")
    best = said.rpartition(" ")[2]
    assert said in short
    assert short.startswith(
        f"{best} has the highest score on SST-2, {100 * max(scores.values()) + 0.35:.1f} %"
    )
    assert f"as better than every other method: {best} on SST-2" in " ".join(
        _summary.of_model(found, "nano-opt")
    )
    text = written(rows, tmp_path)
    assert len(re.findall(r"<strong>9\d\.\d", text)) == 1


def test_a_loser_is_called_one():
    """Addax, four points behind on each of eight seeds."""
    rows = [
        made.row(method, "sst2", seed=seed) | {"score": score + seed / 1000}
        for method, score in (("addax", 0.80), ("adam", 0.84))
        for seed in range(8)
    ]
    said = " ".join(_summary.of_model(analyse("demo", rows), "nano-opt"))
    assert "Addax, on SST-2: worse than Adam (-4.0 points, p = 0.008, n = 8)." in said


def test_no_winner_is_claimed_of_few_seeds():
    said = _summary.of_model(analyse("demo", made.suite(tasks=TASKS)), "nano-opt")
    assert any("supports no winner" in line for line in said)
    assert any("no test can support a winner: methods have 1 pair of runs" in line for line in said)


def test_ratios_are_those_of_the_rows():
    rows = made.suite(tasks=TASKS)
    own, other = (
        {r["config"]["task"]: r for r in rows if r["label"] == label} for label in ("Addax", "Adam")
    )
    (found,) = (cost for cost in _costs.costs(_rows.summary(_rows.frame(rows))) if cost.label == "Adam")
    for field, told in (("peak_bytes", found.memory), ("train_seconds_to_best", found.time)):
        assert told == pytest.approx(sum(own[t][field] for t in TASKS) / sum(other[t][field] for t in TASKS))
    assert found.tasks == 3


def drawn_of(name):
    data = _rows.frame(made.FIGURES[name]())
    return data, module_of(name)


SUITES = [n for n in figures() if module_of(n).SUITE and not hasattr(module_of(n), "BENCHMARK")]


@pytest.mark.parametrize("name", SUITES)
def test_a_figure_s_csv_is_what_it_shows(name):
    data, module = drawn_of(name)
    tables, canvases = module.numbers(data), module.draw(data)
    assert set(tables) == set(canvases)
    for entry in _figures.shown({name: canvases}, data):
        text = base64.b64decode(entry["csv"].partition("base64,")[2]).decode()
        assert text == tables[entry["stem"]].to_csv(index=False, lineterminator="\n")
        assert list(csv.DictReader(io.StringIO(text)))


def test_the_bars_of_figure1_are_in_its_csv():
    rows = made.suite(tasks=TASKS)
    (entry,) = _figures.shown({"figure1": module_of("figure1").draw(_rows.frame(rows))}, _rows.frame(rows))
    lines = pd.read_csv(io.BytesIO(base64.b64decode(entry["csv"].partition("base64,")[2])))
    told = {(line.label, line.task): (line.score, line.peak_bytes) for line in lines.itertuples()}
    assert told == {
        (r["label"], r["config"]["task"]): (pytest.approx(r["score"]), pytest.approx(r["peak_bytes"]))
        for r in rows
    }


def test_ids_are_unique_and_every_reference_has_one(tmp_path):
    rows = made.suite(tasks=TASKS, models=("nano-opt", "a/b"))
    page = Page(written(rows, tmp_path, draw("figure1", _rows.frame(rows))))
    assert len(page.ids) == len(set(page.ids))
    references = [attrs["xlink:href"] for tag, attrs in page.found if tag == "use"]
    assert references
    assert {reference[1:] for reference in references} <= set(page.ids)
    clips = {attrs["clip-path"][5:-1] for _, attrs in page.found if "clip-path" in attrs}
    assert clips
    assert clips <= set(page.ids)


def test_the_same_rows_give_the_same_page(rows, tmp_path):
    own = [row for row in rows if row["config"]["model"] == "nano-opt"]
    pages = [written(own, tmp_path / name, draw("figure1", _rows.frame(own))) for name in "ab"]
    assert pages[0] == pages[1]


def test_the_report_says_where_the_page_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "draw", lambda *_: {})
    runs = tmp_path / "results/runs/mine"
    runs.mkdir(parents=True)
    row = made.row()
    (runs / "one.json").write_text(json.dumps(row), encoding="utf-8")
    report.write_all("mine", root=tmp_path)
    assert capsys.readouterr().out.endswith("open results/tables/mine/report.html\n")
    text = (tmp_path / "results/tables/mine/report.html").read_text(encoding="utf-8")
    assert f"#run-{row['id']}" in text
    assert "These rows are of no suite here" in text
    assert "No two trained methods are compared" in text


def test_specs_without_a_row_are_found():
    rows, _ = _rows.raw("quick", registry.ROOT)
    gone = next(row for row in rows if row["label"] == "Addax" and row["config"]["task"] == "cb")
    assert report._missing("quick", rows) == []
    config = gone["config"]
    left = [row for row in rows if row["id"] != gone["id"]]
    assert report._missing("quick", left) == [
        {"model": config["model"], "task": "cb", "label": "Addax", "seed": config["seed"]}
    ]
    assert report._missing("a-folder-of-mine", rows) is None
