"""Tests of rendering: which figures are drawn, and their formats, sizes, and methods."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread

from benchmarks.errors import UserError
from benchmarks.results.frame import Results
from plots import render
from plots._style import Page
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import defects_of, drawn, file_of

ROOT = Path(__file__).resolve().parents[2]
# No figure can be drawn from this row.
NOTHING = [result_rows.row("zero-shot")]
SHOWING_ROWS = [name for name, rows in result_rows.FIGURES.items() if rows]
# The default lane draws only this figure; `--all` draws the others, too.
REPRESENTATIVE = "figure1"


def each(names):
    """Return the names of figures, with all but one marked as slow."""
    return [name if name == REPRESENTATIVE else pytest.param(name, marks=pytest.mark.slow) for name in names]


EACH = each(render.figures())


@cache
def canvases(name, page=render.PAGE):
    rows = result_rows.FIGURES[name]
    return drawn(name, rows() if rows else [], page)


def results(name):
    rows = result_rows.FIGURES[name]
    return Results.of(rows() if rows else [])


def test_every_figure_has_rows_for_tests():
    assert set(result_rows.FIGURES) == set(render.figures())
    assert {name for name in render.figures() if render.rows_of(name)} == set(SHOWING_ROWS)


@pytest.mark.parametrize("name", EACH)
def test_a_figure_is_readable(name):
    assert canvases(name)
    for figure in canvases(name).values():
        assert defects_of(figure) == []
        for axes in figure.axes:
            place, ticks = axes.get_subplotspec(), {t.get_text() for t in axes.get_xticklabels()}
            tasks = ticks & set(result_rows.TITLES.values())
            if place is None:
                # This is a color bar.
                assert axes.get_ylabel()
                continue
            if place.is_last_row():
                assert axes.get_xlabel() or figure.get_supxlabel() or tasks
            if place.is_first_col() and axes.yaxis.get_visible():
                assert axes.get_ylabel() or figure.get_supylabel()


HEADS = (lambda f: f._suptitle, lambda f: f.legends[0].get_title(), lambda f: f.axes[0].title)
# The figures of suites, by the text that is their title: the figure's, the legend's, or the panel's.
OF_SUITES = {"figure1": 1, "figure11": 0, "sensitivity": 0, "convergence": 1, "k0_sweep": 2,
             "critical_difference": 2, "figure2": 1}  # fmt: skip


@pytest.mark.parametrize("name", each(OF_SUITES))
def test_a_figure_names_directions_that_are_not_normal_under_its_title(name):
    rows = result_rows.FIGURES[name]()
    for row in rows:
        if row["config"]["method"] == "addax":
            row["config"]["settings"]["direction"] = "rademacher"
    normal, signs = canvases(name), drawn(name, rows)
    head = HEADS[OF_SUITES[name]]
    for stem, figure in signs.items():
        assert defects_of(figure) == []
        given = head(normal[stem]).get_text()
        assert " ".join(head(figure).get_text().split()).startswith(
            f"{given} Directions: independent random signs (Rademacher) for Addax"
        )


@pytest.mark.parametrize(("width", "font_size"), [(3.3, 7), (6.9, 9)])
@pytest.mark.parametrize("name", EACH)
def test_a_figure_is_readable_at_other_sizes(name, width, font_size):
    page = Page(width, font_size)
    for figure in canvases(name, page).values():
        assert defects_of(figure, page) == []


@pytest.mark.parametrize("name", EACH)
def test_the_files_of_a_figure_start_with_its_name(name, tmp_path):
    files = render.render(name, results(name), tmp_path / "out")
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    assert {file.name for file in files} == {f"{s.replace('/', '_')}.png" for s in canvases(name)}
    assert all(file.stem.startswith(name) for file in files)


def test_the_file_has_the_requested_width_and_font_size(tmp_path):
    rows = Results.of(result_rows.suite(tasks=("sst2", "rte")))
    (file,) = render.render("figure1", rows, tmp_path, width=5, font_size=10)
    assert imread(file).shape[1] == 5 * 300
    (figure,) = drawn("figure1", rows.rows, Page(5, 10)).values()
    assert figure.axes[0].yaxis.label.get_fontsize() == 10


@pytest.mark.parametrize(("size", "name"), [({"width": 0}, "width"), ({"font_size": -1}, "font size")])
def test_a_size_that_is_not_positive_is_a_one_line_error(size, name, tmp_path):
    with pytest.raises(UserError, match=rf"^a figure's {name} must be greater than 0, not \S+$"):
        render.render("figure1", Results.of(result_rows.suite(tasks=("rte",))), tmp_path, **size)


def test_methods_are_selected_by_their_labels(tmp_path):
    rows = Results.of(result_rows.suite(tasks=("rte",)))
    (file,) = render.render("figure1", rows, tmp_path, formats=("csv",), methods=["Addax", "Adam"])
    assert list(pd.read_csv(file)["label"]) == ["Addax", "Adam"]
    with pytest.raises(UserError, match="unknown method in these rows 'Adax': did you mean 'Addax'"):
        render.render("figure1", rows, tmp_path, methods=["Adax"])


@pytest.mark.parametrize("name", each(SHOWING_ROWS))
def test_the_numbers_of_a_figure_are_written_as_csv(name, tmp_path):
    files = render.render(name, results(name), tmp_path, formats=("csv",))
    assert {file.name for file in files} == {f"{s.replace('/', '_')}.csv" for s in canvases(name)}
    assert all(len(pd.read_csv(file)) for file in files)


def test_an_unknown_format_or_figure_or_an_unexpected_axis_is_an_error(tmp_path):
    rows = Results.of([result_rows.row()])
    with pytest.raises(UserError, match="unknown figure format 'pgn': did you mean 'png'"):
        render.render("figure1", rows, tmp_path, formats=("pgn",))
    with pytest.raises(UserError, match="unknown figure 'figur1': did you mean 'figure1'"):
        render.render("figur1", rows, tmp_path)
    with pytest.raises(UserError, match="figure1 does not take an axis; only convergence does"):
        render.render("figure1", rows, tmp_path, axis="steps")


@pytest.mark.parametrize("name", SHOWING_ROWS)
def test_the_error_for_missing_rows_states_the_command_that_produces_them(name, tmp_path):
    kind = "study .* --save" if hasattr(render.module_of(name), "STUDY") else "sweep .*"
    with pytest.raises(
        UserError, match=f"{name} cannot be drawn from these rows; run `python -m benchmarks {kind}`"
    ):
        render.render(name, Results.of(NOTHING), tmp_path)


@pytest.mark.slow
def test_all_draws_every_figure_that_the_rows_allow():
    everything = [name for name in render.figures() if render.rows_of(name)]
    for rows in {result_rows.FIGURES[name] for name in SHOWING_ROWS}:
        found = render.draw(everything, Results.of(rows()))
        for name in (name for name, build in result_rows.FIGURES.items() if build is rows):
            assert set(found[name]) == set(canvases(name))
    assert render.draw(everything, Results.of(NOTHING)) == {}


def test_rows_of_a_study_give_only_the_figures_of_that_study(tmp_path):
    measured = Results.of(result_rows.precision())
    assert [file.name for file in render.render("all", measured, tmp_path)] == ["precision.png"]
    with pytest.raises(UserError, match="figure1 cannot be drawn from these rows"):
        render.render("figure1", measured, tmp_path)


def test_a_report_draws_the_figures_of_its_suite():
    common = {"figure1", "convergence", "tradeoff"}
    assert set(render.defaults("a-suite-of-mine")) == common
    assert set(render.defaults("quick")) == common | {"k0_sweep", "critical_difference"}
    assert set(render.defaults("figure11")) == common | {"figure11"}


@pytest.mark.medium
@pytest.mark.parametrize(
    ("model", "file", "title"),
    [
        ("facebook/opt-13b", "facebook_opt-13b", "facebook/opt-13b"),
        ("/home/me/a/long/way/down/models/tiny", "_home_me_a_long_way_down_models_tiny", "tiny"),
    ],
)
def test_a_hub_model_or_a_folder_gives_files_without_subfolders(model, file, title, tmp_path):
    rows = [result_rows.row(m, t, model) for m in ("adam", "mezo") for t in ("rte", "sst2")]
    rows += [*result_rows.k0_sweep(model), *result_rows.figure11(model)]
    files = render.render("k0_sweep", Results.of(rows), tmp_path, formats=("png", "pdf"))
    assert files == [tmp_path / f"k0_sweep-{file}.{kind}" for kind in ("png", "pdf")]
    assert all(f.is_file() for f in files)
    for name in ("figure1", "figure11", "k0_sweep"):
        for figure in drawn(name, rows).values():
            words = [legend.get_title().get_text() for legend in figure.legends]
            words += [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
            assert any(title in text and "/way/" not in text for text in words)
            assert defects_of(figure) == []


@pytest.mark.medium
def test_files_have_the_same_bytes_in_another_process(tmp_path):
    source = file_of(result_rows.k0_sweep(), tmp_path)
    code = (
        "import sys; from pathlib import Path; from plots import render\n"
        "from benchmarks.results.frame import Results; from benchmarks.results.sources import match_rows\n"
        "rows, out = Results.of(match_rows(sys.argv[1])), Path(sys.argv[2])\n"
        "render.render('k0_sweep', rows, out, formats=('png', 'pdf', 'svg'))\n"
    )
    for out, seed in (("a", "1"), ("b", "2")):
        subprocess.run(
            [sys.executable, "-c", code, source, tmp_path / out],
            cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""}, check=True,
        )  # fmt: skip
    for kind in ("png", "svg", "pdf"):
        first, second = ((tmp_path / out / f"k0_sweep-nano-opt.{kind}").read_bytes() for out in "ab")
        assert first == second
    assert b"/FontType 42" in first or b"/CIDFontType2" in first
    assert b"/Type3" not in first
    assert b"CreationDate" not in first


@pytest.mark.process
def test_critical_difference_files_have_the_same_bytes_in_another_process(tmp_path):
    """The library orders the points of a bar by a set, which differs between processes."""
    for out, seed in (("a", "1"), ("b", "2")):
        subprocess.run(
            [sys.executable, "-m", "benchmarks", "plots", "critical_difference", "--rows",
             "results/reference/quick.jsonl", "--out", tmp_path / out],
            cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""}, check=True, capture_output=True,
        )  # fmt: skip
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert files
    assert [(tmp_path / "a" / f).read_bytes() for f in files] == [
        (tmp_path / "b" / f).read_bytes() for f in files
    ]


@pytest.mark.process
def test_plots_does_not_import_torch():
    names = ", ".join(["render", *render.figures()])
    code = f"import sys; from plots import {names}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert "matplotlib" in loaded
    assert "torch" not in loaded


def test_pages_show_every_committed_figure_and_no_other():
    listed = subprocess.run(
        ["git", "ls-files", "docs/figures"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {name for page in pages for name in re.findall(r"figures/[^)\s\"]+\.png", page.read_text())}
    assert set(listed.stdout.split()) == {f"docs/{name}" for name in shown}


def test_synthetic_rows_have_no_fields_that_real_rows_lack():
    real = json.loads((ROOT / "results/reference/quick.jsonl").read_text().splitlines()[0])
    synthetic = result_rows.row()
    assert synthetic.keys() <= real.keys()
    for name in ("test", "validation", "config"):
        assert synthetic[name].keys() <= real[name].keys(), name
    assert synthetic["curve"][0].keys() <= real["curve"][0].keys()
