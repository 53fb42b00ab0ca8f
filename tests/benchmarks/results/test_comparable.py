"""Rows that have no mean together: one kind stands, the others are listed and told."""

import json

import pytest

from benchmarks import docs as readme
from benchmarks.report import build as report
from benchmarks.results import comparable as _apart
from benchmarks.results.frame import frame, summary
from tests.benchmarks.results import result_rows as made


def changed(row, **changes):
    """A row with other fields; those of its config by "config_NAME"."""
    config = {k.removeprefix("config_"): v for k, v in changes.items() if k.startswith("config_")}
    others = {k: v for k, v in changes.items() if not k.startswith("config_")}
    return row | others | {"config": row["config"] | config}


CHANGES = {
    "metric": {"metric": "f1"},
    "scoring": {"config_scoring": "per_candidate"},
    "data": {"config_data": "hub"},
    "data fingerprint": {"data_fingerprint": "e" * 16},
    "head": {"config_head": "classification"},
    "budget": {"config_steps": 80},
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_most_frequent_kind_stands_and_the_others_are_told(what):
    own = [made.row(seed=seed) for seed in range(3)]
    odd = changed(made.row(seed=3), **CHANGES[what])
    kept, (entry,) = _apart.split([odd, *own])
    assert kept == own
    assert (entry["what"], entry["label"], entry["task"], entry["rows"]) == (what, "Addax", "sst2", 1)
    assert entry["kind"] != entry["stands"]
    data = frame([odd, *own])
    assert data.attrs["apart"] == [entry]
    (line,) = summary(data).to_dict("records")
    assert line["n"] == 3
    assert line["score"] == pytest.approx(sum(row["score"] for row in own) / 3)


def test_a_kind_of_one_setting_is_not_chosen_among_the_others():
    """The odd run has the best validation score by far, as another setting: it is still no candidate."""
    own = [made.row(seed=seed) for seed in range(2)]
    odd = changed(made.row(lr=0.5), config_steps=99999, validation={"accuracy": 1.0, "loss": 0.0}, score=1.0)
    assert summary(frame([*own, odd]))["lr"].to_list() == [1e-3]


def test_the_newest_of_two_kinds_as_frequent_stands():
    old = changed(made.row(seed=0), ended="2026-03-01T00:00:00", config_steps=10)
    new = changed(made.row(seed=1), ended="2026-03-02T00:00:00", config_steps=20)
    for rows in ([old, new], [new, old]):
        assert _apart.split(rows)[0] == [new]


def test_methods_may_differ_in_their_budgets_and_tasks_in_anything():
    rows = [
        changed(made.row("mezo"), config_steps=20000),
        changed(made.row("addax"), config_steps=1000),
        changed(made.row("addax", "rte"), config_steps=None, config_seconds=60.0, config_data="hub"),
        changed(made.row("adam", "squad"), config_data="folder", config_scoring="per_candidate"),
        changed(made.row("zero-shot"), config_steps=0),
    ]
    assert _apart.split(rows) == (rows, [])


def test_shots_are_columns_of_their_own():
    rows = [changed(made.row(seed=s), config_shots=k) for k in (16, 512) for s in range(2)]
    assert summary(frame(rows))[["model", "n", "shots"]].to_numpy().tolist() == [
        ["nano-opt k=16", 2, 16],
        ["nano-opt k=512", 2, 512],
    ]


def test_the_report_lists_them_apart(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "draw", lambda *_: {})
    runs = tmp_path / "results/runs/mine"
    runs.mkdir(parents=True)
    rows = [*(made.row(seed=s) for s in range(2)), changed(made.row(seed=2), config_steps=77)]
    for i, row in enumerate(rows):
        (runs / f"{i}.json").write_text(json.dumps(row))
    report.write_all("mine", root=tmp_path)
    said = capsys.readouterr().out
    assert "2 rows from results/runs/mine" in said
    assert "1 more there are of another budget: left out (see apart.md)" in said
    page = tmp_path / "results/tables/mine/apart.md"
    assert "| nano-opt | sst2   | Addax    | 1      | budget      | 77 steps | 400 steps" in page.read_text()
    (runs / "2.json").unlink()
    report.write_all("mine", root=tmp_path)
    assert not page.exists()


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ({"mezo": {"steps": 20000}, "addax": {"steps": 1000}}, "unequal steps: MeZO 20000, Addax 1000"),
        ({"mezo": {"seconds": 360.0}, "addax": {"seconds": 360.0}}, "equal seconds: 360"),
        ({"mezo": {"forward_equivalents": 64}}, "equal forward-equivalents: 64"),
    ],
)
def test_provenance_says_the_budgets(budgets, said):
    rows = [made.row("zero-shot")]
    for method, budget in budgets.items():
        row = made.row(method)
        row["config"] |= {"steps": None} | budget
        rows.append(row)
    assert f"budget: {said};" in readme.provenance(rows)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (360.0, "equal seconds on each model: nano-opt 120, nano-llama 360"),
        (300.0, "unequal seconds: MeZO 120 or 360, Addax 120 or 300"),
    ],
)
def test_provenance_says_budgets_that_are_equal_on_each_model(last, said):
    rows = []
    for model, given in (("nano-opt", (120.0, 120.0)), ("nano-llama", (360.0, last))):
        for method, seconds in zip(("mezo", "addax"), given, strict=True):
            row = made.row(method)
            row["config"] |= {"model": model, "steps": None, "seconds": seconds}
            rows.append(row)
    assert f"budget: {said};" in readme.provenance(rows)
