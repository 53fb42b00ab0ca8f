"""Tests of published numbers: the checks of their file, and the comparison with our scores."""

import csv
import re
from functools import cache
from types import SimpleNamespace

import pandas as pd
import pytest

import benchmarks.__main__ as benchmarks
from benchmarks import registry, suites
from benchmarks.errors import UserError
from benchmarks.report import build as report
from benchmarks.report import paper_tables as _paper_tables
from benchmarks.results import published
from benchmarks.results.frame import Results
from benchmarks.suites.papers._paper import Setting
from tests.benchmarks.results import result_rows as made

LINE = {
    "paper": "Mine",
    "table": "Table 1",
    "model": "OPT-13B",
    "task": "SST-2",
    "method": "MeZO",
    "metric": "accuracy",
    "value": "91.4",
    "unit": "%",
    "source": "my notes",
}


@pytest.fixture
def file(tmp_path):
    def write(*lines, name="own.csv"):
        path = tmp_path / name
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, published.COLUMNS)
            writer.writeheader()
            writer.writerows(LINE | line for line in lines)
        return path

    return write


def test_the_committed_file_is_valid_and_read_completely():
    numbers = published.load()
    with published.FILE.open(newline="") as lines:
        raw = list(csv.DictReader(lines))
    assert len(numbers) == len(raw) > 800
    assert [f"{v:g}" for v in numbers["value"]] == [f"{float(line['value']):g}" for line in raw]
    assert set(numbers.loc[numbers["title"] == "WIC", "task"]) == {"wic"}
    assert numbers.loc[numbers["title"] == "average", "task"].isna().all()
    assert numbers["where"].iloc[-1] == f"published.csv:{len(raw) + 1}"


def test_the_file_has_only_claims_from_the_abstract_of_addax():
    """Recalled numbers must not appear as published, so no score of Addax's tables may be in the file."""
    numbers = published.load()
    addax = numbers[numbers["paper"] == "Addax"]
    assert set(addax["table"]) == {"abstract"}
    assert not set(addax["metric"]) & {"accuracy", "F1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "SST-22"}, "own.csv:2: unknown task 'SST-22': did you mean 'SST-2'"),
        ({"unit": "percent"}, "own.csv:2: unknown unit 'percent'"),
        ({"unit": "Gb"}, "own.csv:2: unknown unit 'Gb': did you mean 'GB'"),
        ({"value": "ninety"}, "own.csv:2: value must be a number or OOM, not 'ninety'"),
        ({"value": ""}, "own.csv:2: value must be a number or OOM, not ''"),
        ({"value": "nan"}, "own.csv:2: value must be a number or OOM, not 'nan'"),
        ({"source": " "}, "own.csv:2: no source"),
        ({"method": ""}, "own.csv:2: no method"),
    ],
)
def test_a_wrong_line_is_rejected_with_its_number(file, change, message):
    with pytest.raises(UserError, match=message):
        published.load(file(change))


def test_a_file_without_a_column_or_with_a_field_too_many_is_rejected(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("paper,table,model,task,method,metric,value,unit\n")
    with pytest.raises(UserError, match=r"own\.csv:1: no column source"):
        published.load(path)
    path.write_text(",".join(published.COLUMNS) + "\n" + ",".join([*LINE.values(), "more"]) + "\n")
    with pytest.raises(UserError, match=r"own\.csv:2: the line must have 9 fields"):
        published.load(path)
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        published.load(tmp_path / "none.csv")


def test_a_users_number_never_overrides_an_existing_one(file):
    known = {"paper": "MeZO", "source": "memory"}
    assert len(published.load(file(known))) == len(published.load())
    both = r"own\.csv:3: MeZO Table 1 OPT-13B SST-2 MeZO accuracy is 99 % \(memory\), but 91\.4 % "
    with pytest.raises(UserError, match=both + r"\(arXiv 2305\.17333v3\) in published\.csv:\d+"):
        published.load(file({}, known | {"value": "99"}))
    with pytest.raises(UserError, match=r"own\.csv:3: duplicate of the number in own\.csv:2"):
        published.load(file({}, {}))


def test_a_users_numbers_are_merged_in(file):
    numbers = published.load(file({"task": "avg"}, {"method": "SGD", "value": "OOM"}))
    mine = numbers[numbers["paper"] == "Mine"]
    assert list(mine["printed"]) == ["91.4", "OOM"]
    assert pd.isna(mine["value"].iloc[1])


@pytest.fixture
def means():
    methods = ("zero-shot", "addax", "mezo", "adam")
    rows = made.suite(("facebook/opt-13b",), (0, 1), methods, ("sst2", "squad"))
    return Results.of(
        [*rows, *(made.row("sgd", "sst2", "facebook/opt-13b", status="OOM") for _ in "1")]
    ).means


def test_our_scores_are_matched_with_published_numbers(means):
    found = published.beside(means, "MeZO", "Table 1", "OPT-13B").set_index(["task", "label"])
    for task, printed in (
        ("sst2", {"zero-shot": 58.8, "MeZO": 91.4, "Adam": 92.0}),
        ("squad", {"MeZO": 84.7}),
    ):
        for label, value in printed.items():
            line = found.loc[(task, label)]
            ours = means[(means["task"] == task) & (means["label"] == label)]["score"].iloc[0]
            assert line["published"] == value
            assert line["difference"] == pytest.approx(100 * ours - value)
    assert found.loc[("squad", "MeZO"), "metric"] == "F1"
    # No source has numbers of Addax for this table, and we ran no LoRA.
    assert pd.isna(found.loc[("sst2", "Addax"), "published"])
    assert found.loc[("sst2", "Addax"), "printed"] == ""
    lora = found.loc[("sst2", "MeZO (LoRA)")]
    assert (lora["published"], lora["n"]) == (89.6, 0)
    assert pd.isna(lora["ours"])
    assert "LP" not in found.index.get_level_values("label")
    for label, value in (("ICL-32", 87.0), ("MeZO (prefix)", 90.7)):
        assert (found.loc[("sst2", label), "published"], found.loc[("sst2", label), "n"]) == (value, 0)


def test_shots_select_the_model_of_the_paper_and_its_deviation_is_included():
    rows = [made.row("adam", "sst2", "roberta-large", seed) for seed in range(2)]
    for row in rows:
        row["config"]["shots"] = 16
    (line,) = published.beside(Results.of(rows).means, "MeZO", "Table 18", "RoBERTa-large k={shots}").query(
        "label == 'Adam'"
    ).to_dict("records")  # fmt: skip
    (printed,) = published.load().query(
        "table == 'Table 18' and model == 'RoBERTa-large k=16' and method == 'FT' and task == 'sst2'"
        " and metric == 'accuracy'"
    )["value"]
    assert line["published"] == printed
    assert line["published_std"] > 0


def test_the_table_leaves_unpublished_entries_empty_and_notes_that_models_differ(means, file):
    paper = SimpleNamespace(paper="Mine", shows="Table 1", model="OPT-13B")
    numbers = published.load(file({}, {"method": "SGD", "value": "OOM"}))
    table = _paper_tables.printed(means, paper, numbers)
    lines = {(line["task"], line["method"]): line for line in table.table.to_dict("records")}
    assert lines["SST-2", "MeZO"]["Mine (%)"] == "91.4"
    assert lines["SST-2", "Addax"]["Mine (%)"] == lines["SST-2", "Addax"]["difference"] == ""
    assert [lines["SST-2", "SGD"][name] for name in ("Mine (%)", "ours (%)", "difference")] == [
        "OOM",
        "OOM",
        "",
    ]
    assert "instead of OPT-13B" not in table.note
    assert table.note.endswith("Sources of published numbers: my notes.")
    tiny = _paper_tables.printed(means.assign(model="nano-opt"), paper, numbers)
    assert "We ran nano-opt instead of OPT-13B" in tiny.note


def test_only_a_suite_of_a_paper_has_the_table_and_accepts_a_file(file, tmp_path, monkeypatch, capsys):
    path = str(file({}))
    assert benchmarks.main(["report", "quick", "--published", path]) == 2
    assert "suite 'quick' does not reproduce a paper's table" in capsys.readouterr().err
    seen = Setting("mezo", "lr", (1e-6, 1e-7), "V", "its appendix", {"task": ("squad",)})
    paper = SimpleNamespace(paper="Mine", shows="Table 1", model="OPT-13B", arxiv="0", settings=(seen,))
    monkeypatch.setattr(_paper_tables, "paper_of", lambda suite: paper)
    rows = [made.row("mezo", model="facebook/opt-13b")]
    report.write_tables("mine", Results.of(rows), tmp_path, published.load(file({})))
    folder = tmp_path / "results/tables/mine"
    assert "| 91.4" in (folder / "published.md").read_text()
    assert {f.suffix for f in folder.glob("published.*")} == {".md", ".csv", ".tex"}
    line = "| mezo | lr | 1e-06, 1e-07 (if task is squad) | V | its appendix |"
    assert line in re.sub(" +", " ", (folder / "stated.md").read_text())
    monkeypatch.setattr(_paper_tables, "paper_of", lambda suite: None)
    report.write_tables("mine", Results.of(rows), tmp_path)
    assert not list(folder.glob("published.*")) + list(folder.glob("stated.*"))


def test_the_coverage_page_lists_every_published_table():
    text = _paper_tables.coverage()
    numbers = published.load()
    for paper, table in set(zip(numbers["paper"], numbers["table"], strict=True)):
        assert any(paper in line and table in line for line in text.splitlines())


def test_the_coverage_page_names_tables_without_a_source():
    (empty,) = [line for line in _paper_tables.coverage().splitlines() if line.startswith("Suites whose")]
    assert "Addax, Figure 1 and the table of OPT-13B (suite `opt-13b`)" in empty
    assert "MeZO-SVRG, the GLUE tables" in empty
    assert "reviewers" not in empty
    assert "MeZO, Table" not in empty


@pytest.mark.medium
def test_the_suites_page_lists_every_suite_of_a_paper_with_its_runs(monkeypatch):
    monkeypatch.setattr(suites, "load", cache(suites.load))
    lines = _paper_tables.papers().splitlines()[2:]
    cells = {line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")] for line in lines}
    wanted = [n for n in registry.files("suite") if suites.paper(n) and not registry.is_tiny(n)]
    assert list(cells) == wanted
    for name, line in cells.items():
        assert line[3:5] == [str(len(suites.load(name))), str(len(suites.load(f"{name}-tiny")))]


def test_matthews_correlation_is_compared_times_100_and_class_f1_as_f1(file):
    own = {"task": "CoLA", "method": "MeZO", "metric": "Matthews correlation", "value": "51.0"}
    numbers = published.load(file(own, own | {"task": "MRPC", "metric": "F1", "value": "88.0"}))
    rows = [
        made.row("mezo", task, model="facebook/opt-13b") | changes
        for task, changes in (
            ("cola", {"task_title": "CoLA", "metric": "matthews", "score": -0.2, "majority": 0.0}),
            ("mrpc", {"task_title": "MRPC", "metric": "class_f1", "score": 0.8, "majority": 0.7}),
        )
    ]
    means = Results.of(rows).means
    found = published.beside(means, "Mine", "Table 1", "OPT-13B", numbers).set_index("task")
    assert found["difference"].to_dict() == pytest.approx({"cola": -71.0, "mrpc": -8.0})
    paper = SimpleNamespace(paper="Mine", shows="Table 1", model="OPT-13B")
    table = _paper_tables.printed(means, paper, numbers).table.set_index("task")
    assert table["majority"].to_dict() == {"CoLA (MCC)": "0.0", "MRPC": "70.0"}
    assert table["ours (%, MCC × 100)"].to_dict() == {"CoLA (MCC)": "-20.0", "MRPC": "80.0"}
