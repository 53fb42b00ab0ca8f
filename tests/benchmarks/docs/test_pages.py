"""Tests of the tables on pages: they are built from committed rows alone, and committed pages are current."""

import json
import re

import pytest

from benchmarks import docs, registry
from benchmarks.cli import reference
from benchmarks.docs.tables import owners
from benchmarks.errors import UserError
from benchmarks.report.provenance import provenance_line
from tests.benchmarks.results import result_rows as made
from tests.markdown import cells


def scores(rows, label, task):
    return [100 * r["score"] for r in rows if r["label"] == label and r["config"]["task"] == task]


PAGE = """# Page

<!-- table:demo:score -->
<!-- /table:demo:score -->

between

<!-- table:real-one:methods -->
of old
<!-- /table:real-one:methods -->
<!-- table:scoring-speed:table -->
<!-- /table:scoring-speed:table -->
<!-- table:precision:table -->
<!-- /table:precision:table -->
end
"""
SPEED = {
    "study": "scoring-speed",
    "task_title": "SST-2",
    "part": "evaluation",
    "batch_size": 16,
    "seconds": 0.5,
    "released_seconds": 0.9,
    "ratio": 1.8,
    "loss_difference": 2.5e-7,
    "versions": {"torch": "2.13.0"},
    "hardware": "x86_64, 2 cores",
    "threads": 1,
    "git_commit": "0123456789abcdef",
    "git_dirty": True,
}


def committed(root, **suites):
    """Write rows to `results/reference`; "_" in a suite's name becomes "-"."""
    folder = root / "results/reference"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in suites.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name.replace('_', '-')}.jsonl").write_text(text)


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(PAGE)
    return file


def between(page, name):
    return page.read_text().split(f"<!-- table:{name} -->\n")[1].split(f"<!-- /table:{name} -->")[0]


def test_a_page_is_refreshed_from_committed_rows(page, tmp_path):
    demo, real = (
        made.suite(tasks=("sst2", "rte")),
        [made.row(m, model="smollm2-135m") for m in ("adam", "sgd")],
    )
    other = [SPEED | {"part": "zeroth-order loss", "seconds": 0.25}]
    committed(tmp_path, demo=demo, real_one=real, scoring_speed=[SPEED, *other])
    docs.refresh(tmp_path)
    score = between(page, "demo:score")
    adam = next(line for line in cells(score) if line[0] == "Adam")
    assert adam[1:3] == [f"{scores(demo, 'Adam', task)[0]:.1f}" for task in ("sst2", "rte")]
    assert score.strip().splitlines()[-1] == provenance_line(demo)
    methods = between(page, "real-one:methods")
    assert [line[0] for line in cells(methods)] == ["method", "SGD", "Adam"]
    assert methods.strip().splitlines()[-1].startswith("runs: 2 of 2 done")
    assert "of old" not in methods
    speed = between(page, "scoring-speed:table")
    head = ["task", "part", "ours (s)", "released (s)", "ratio", "largest loss difference"]
    assert cells(speed) == [
        head,
        ["SST-2", "evaluation", "0.500", "0.900", "1.80x", "2.5e-07"],
        ["SST-2", "zeroth-order loss", "0.250", "0.900", "1.80x", "2.5e-07"],
    ]
    note = speed.strip().splitlines()[-1]
    assert "commit: 0123456+changes" in note
    assert "batch size: 16" in note
    assert "runs:" not in note
    text = page.read_text()
    assert re.sub(r"(?s)(<!-- table:(\S+) -->\n).*?(<!-- /table)", r"\1\3", text) == PAGE.replace(
        "of old\n", ""
    )
    docs.refresh(tmp_path)
    assert page.read_text() == text


def test_a_table_on_a_page_begins_with_the_directions_that_are_not_normal(page, tmp_path):
    page.write_text("<!-- table:demo:score -->\n<!-- /table:demo:score -->\n")
    committed(tmp_path, demo=[made.row("mezo", direction="rademacher"), made.row("adam")])
    docs.refresh(tmp_path)
    first = between(page, "demo:score").split("\n\n")[0]
    assert first == "Directions: independent random signs (Rademacher) for MeZO."


def test_a_page_shows_the_scores_by_length_if_rows_have_them(page, tmp_path):
    page.write_text("<!-- table:demo:score-long -->\n<!-- /table:demo:score-long -->\n")
    demo = [made.row("adam"), *made.with_lengths([made.row("mezo")])]
    committed(tmp_path, demo=demo)
    docs.refresh(tmp_path)
    text = between(page, "demo:score-long")
    assert ["MeZO", f"{100 * demo[1]['test_long']['score']:.1f}", "–"] in cells(text)
    assert "Long rows have more tokens than: SST-2 40." in text
    committed(tmp_path, demo=demo[:1])
    docs.refresh(tmp_path)
    assert "No rows with the score on long test rows yet" in between(page, "demo:score-long")


def test_local_runs_do_not_change_a_page(page, tmp_path):
    runs = tmp_path / "results/runs/demo"
    runs.mkdir(parents=True)
    (runs / "one.json").write_text(json.dumps(made.row("adam")))
    docs.refresh(tmp_path)
    assert not cells(page.read_text())
    assert "`python -m benchmarks sweep demo`" in between(page, "demo:score")
    assert "`python -m benchmarks report demo --commit-reference`" in between(page, "demo:score")
    assert "`python -m benchmarks study scoring-speed --save`" in between(page, "scoring-speed:table")
    assert "`python -m benchmarks study precision --save`" in between(page, "precision:table")
    assert "of old" not in page.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table:demo:scores -->\n<!-- /table:demo:scores -->\n", "did you mean 'score'"),
        ("<!-- table:demo -->\n<!-- /table:demo -->\n", "unknown kind of table 'demo'"),
        ("<!-- table:demo:score -->\n", "never closed"),
    ],
)
def test_an_invalid_mark_is_a_one_line_error(page, tmp_path, text, message):
    page.write_text(text)
    with pytest.raises(UserError, match=message):
        docs.refresh(tmp_path)
    assert page.read_text() == text


def test_a_damaged_file_of_committed_rows_is_a_one_line_error(page, tmp_path):
    committed(tmp_path, demo=[made.row()])
    (tmp_path / "results/reference/demo.jsonl").write_text("{\n")
    with pytest.raises(UserError, match=r"demo\.jsonl:1: not JSON"):
        docs.refresh(tmp_path)


def test_a_page_with_a_provenance_mark_states_the_provenance_once(page, tmp_path):
    demo = [made.row("adam")]
    committed(tmp_path, demo=demo)
    marks = ["demo:score", "demo:methods", "demo:provenance"]
    page.write_text("".join(f"<!-- table:{mark} -->\n<!-- /table:{mark} -->\n" for mark in marks))
    docs.refresh(tmp_path)
    assert page.read_text().count(provenance_line(demo)) == 1
    assert between(page, "demo:provenance").strip() == provenance_line(demo)


def test_pages_below_docs_are_refreshed_and_a_check_writes_nothing(page, tmp_path):
    committed(tmp_path, demo=[made.row("adam")])
    page.write_text("no table\n")
    guide = tmp_path / "docs" / "results" / "demo.md"
    guide.parent.mkdir(parents=True)
    text = "<!-- table:demo:score -->\n<!-- /table:demo:score -->\n"
    guide.write_text(text)
    assert docs.refresh(tmp_path, check=True) == [guide]
    assert guide.read_text() == text
    assert docs.refresh(tmp_path) == [guide]
    assert docs.refresh(tmp_path, check=True) == []


@pytest.mark.medium
def test_the_committed_pages_match_the_committed_rows():
    marks = [mark for page in docs.pages() for mark in re.findall(r"<!-- table:(\S+) -->", page.read_text())]
    assert len(marks) >= 3
    for owner in {owner for mark in marks for owner in owners(mark)}:
        assert (registry.ROOT / "results/reference" / f"{owner}.jsonl").exists()
    assert docs.refresh(check=True, more=reference.tables()) == []


def test_the_precision_table_has_the_drift_of_the_most_steps_and_four_step_sizes(page, tmp_path):
    rows = made.precision()
    committed(tmp_path, precision=rows)
    docs.refresh(tmp_path)
    head, *lines = cells(between(page, "precision:table"))
    steps = ["c = 1e-07", "c = 1e-06", "c = 1e-05", "c = 1e-04"]
    assert head == ["weights", "dtype", "arithmetic", "drift after 2,000 steps", *steps]
    # The invented rows drift by 4e-3 x sqrt(steps), which is 18 % after 2,000 steps. They realize the
    # fraction c / (c + 4e-5) when rounding to nearest, and 1 otherwise, with an error of 1e-6 / sqrt(c).
    half = [line[2:] for line in lines if line[:2] == ["smollm2-135m", "bfloat16"]]
    assert half == [
        ["released", "18 %", "0.2 ± 0.3 %", "2.4 ± 0.1 %", "20.0 %", "71.4 %"],
        ["exact, nearest", "0 %", "0.2 ± 0.3 %", "2.4 ± 0.1 %", "20.0 %", "71.4 %"],
        ["exact, stochastic", "0 %", "100.0 ± 0.3 %", "100.0 ± 0.1 %", "100.0 %", "100.0 %"],
    ]
    assert [line[2] for line in lines if line[1] == "float32"] == ["released", "exact"] * 2
