"""Tests that runs with different directions never share a name, and that reports name the direction."""

import pytest

from benchmarks.report import agreement, build, page
from benchmarks.report.analysis import analyze
from benchmarks.report.suite_rows import SuiteRows
from benchmarks.report.terminal import print_summary
from benchmarks.results import directions
from benchmarks.results.comparable import names_of
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made

NOTE = "Directions: independent random signs (Rademacher) for Addax and MeZO."


def with_signs(rows, methods=("addax", "mezo")):
    """Change the directions of some methods' rows in place, and return all rows."""
    for row in rows:
        if row["config"]["method"] in methods:
            row["config"]["settings"]["direction"] = "rademacher"
            row["id"] += "-signs"
    return rows


def some_rows():
    return made.suite(tasks=("sst2", "rte"), methods=("zero-shot", "addax", "mezo", "adam"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"zo_batch_size": 6}, "normal"),
        ({"zo_batch_size": 6, "direction": "normal"}, "normal"),
        ({"zo_batch_size": 6, "direction": "rademacher"}, "rademacher"),
        ({"zo_batch_size": 0, "direction": "rademacher"}, directions.NOTHING),
        ({"fo_batch_size": 8}, directions.NOTHING),
    ],
)
def test_a_run_has_a_direction_if_it_perturbs_weights(settings, expected):
    assert directions.direction_of({"settings": settings}) == expected


def test_a_label_names_the_direction_only_if_its_runs_have_several():
    rows = with_signs(some_rows())
    assert set(Results.of(rows).runs["label"]) == {"zero-shot", "Addax", "MeZO", "Adam"}
    both = Results.of([*rows, *made.suite(tasks=("sst2",), methods=("mezo",))])
    assert set(both.runs["label"]) == {"zero-shot", "Addax", "MeZO", "MeZO (Rademacher)", "Adam"}
    assert both.directions.endswith("for Addax and MeZO (Rademacher).")
    # No setting is selected among directions, and each has its own entry.
    assert len(both.means[both.means["task"] == "sst2"]) == 5


def test_a_variant_and_a_direction_share_the_parentheses():
    normal, signs = (made.row("mezo", label="MeZO (released)") for _ in range(2))
    with_signs([signs])
    assert names_of([normal, signs]) == ["MeZO (released)", "MeZO (released, Rademacher)"]


def test_rows_from_before_directions_have_the_setting_of_normals():
    old, new = made.row("mezo"), made.row("mezo", seed=1, direction="normal")
    (line,) = Results.of([old, new]).means.to_dict("records")
    assert line["n"] == 2


def test_a_direction_may_have_a_budget_of_its_own():
    rows = [made.row("mezo", seed=s) for s in range(3)]
    signs = with_signs([made.row("mezo", seed=s) for s in range(2)])
    for row in signs:
        row["config"]["steps"] = 7
    assert Results.of([*rows, *signs]).excluded == []
    for row in signs:
        row["config"]["settings"]["direction"] = "normal"
    assert [entry["what"] for entry in Results.of([*rows, *signs]).excluded] == ["budget"]


def test_every_table_names_the_directions_under_its_head(tmp_path):
    build.write_tables("demo", Results.of(with_signs(some_rows())), tmp_path)
    folder = tmp_path / "results/tables/demo"
    for file in folder.glob("*.md"):
        assert file.read_text().split("\n\n")[1] == NOTE, file.name
    for file in folder.glob("*.tex"):
        assert file.read_text().split("\n")[1] == f"% {NOTE}", file.name
    build.write_tables("demo", Results.of(some_rows()), tmp_path)
    assert not any("Directions" in file.read_text() for file in folder.iterdir())


def test_the_page_and_the_terminal_name_the_directions(tmp_path, capsys):
    rows = with_signs(some_rows())
    analysis = analyze("demo", Results.of(rows))
    html = page.write(analysis, {}, tmp_path, SuiteRows(rows, "demo", 0, None)).read_text()
    heads = html.count("<h3>") + html.count("<details><summary>") - html.count("<details><summary>Memory")
    assert html.count(f'<p class="note">{NOTE}</p>') == heads > 5
    assert "direction=rademacher" in html
    print_summary(analysis)
    assert " ".join(NOTE.split()) in " ".join(capsys.readouterr().out.split())


def test_a_comparison_with_committed_rows_counts_directions_apart():
    normal, signs = [made.row("mezo")], with_signs([made.row("mezo")])
    text = agreement.text("demo", [*normal, *signs], [*normal, *signs])
    assert [line.split("  ")[0] for line in text.splitlines() if line.startswith("MeZO")] == [
        "MeZO",
        "MeZO (Rademacher)",
    ]


def test_committed_rows_from_before_directions_are_seeds_of_the_same_setting():
    old = [made.row("mezo", seed=s) for s in range(2)]
    new = [made.row("mezo", seed=s, direction="normal") for s in range(2, 4)]
    (found,) = agreement.compare([new[0] | {"score": 0.1}], [*old, *new])
    scores = [row["score"] for row in [*old, *new]]
    assert found.interval == agreement.prediction_interval(scores)
