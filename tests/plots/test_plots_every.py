"""Every figure from rows of a user's own, and what a figure says that has none."""

from functools import cache

import pytest
from matplotlib.figure import Figure

from benchmarks.errors import UserError
from benchmarks.results import frame as _rows
from plots import __main__ as command
from plots import _style
from tests.benchmarks.results import result_rows as made
from tests.plots.figure_checks import bars, faults, file_of

# One kind of row that no figure shows.
NOTHING = [made.row("zero-shot")]
MAKERS = {
    "agreement": "benchmarks.studies.memory_validation --save",
    "arithmetic": "benchmarks.studies.precision --save",
    "convergence": "benchmarks sweep quick",
    "critical_difference": "benchmarks sweep quick",
    "figure1": "benchmarks sweep quick",
    "figure11": "benchmarks sweep figure11",
    "figure2": "benchmarks sweep opt-30b",
    "figure3": "benchmarks.studies.memory_curves --save",
    "figure3_right": "benchmarks sweep figure3-right",
    "figure4": "benchmarks.studies.memory_curves --save",
    "fits": "benchmarks.studies.memory_curves --save",
    "k0_sweep": "benchmarks sweep quick",
    "lengths": "benchmarks.studies.lengths --save",
    "sensitivity": "benchmarks sweep asked-sensitivity",
}


@cache
def drawn(name):
    """A figure's canvases from its rows."""
    rows = made.FIGURES[name]
    return command.module_of(name).draw(_rows.frame(rows() if rows else []))


def test_every_figure_has_rows_for_tests():
    assert set(made.FIGURES) == set(command.figures())
    assert {name for name, rows in made.FIGURES.items() if rows} == set(MAKERS)


@pytest.mark.parametrize("name", command.figures())
def test_a_figure_is_readable(name):
    canvases = drawn(name)
    assert canvases
    for figure in canvases.values():
        assert faults(figure) == []
        for axes in figure.axes:
            place, ticks = axes.get_subplotspec(), {t.get_text() for t in axes.get_xticklabels()}
            tasks = ticks & set(made.TITLES.values())
            if place is None:
                # A bar of colours.
                assert axes.get_ylabel()
                continue
            if place.is_last_row():
                assert axes.get_xlabel() or figure.get_supxlabel() or tasks
            if place.is_first_col() and axes.yaxis.get_visible():
                assert axes.get_ylabel() or figure.get_supylabel()


@pytest.mark.parametrize("name", command.figures())
def test_a_figure_is_drawn_from_a_user_s_own_files(name, tmp_path, capsys):
    words = [name, "--out", str(tmp_path / "out")]
    if made.FIGURES[name]:
        rows = made.FIGURES[name]()
        for i, row in enumerate(rows):
            file_of([row], tmp_path, f"{i}.json")
        words += ["--rows", str(tmp_path / "*.json")]
    assert command.main(words) == 0
    said = capsys.readouterr().out
    if made.FIGURES[name]:
        assert said.startswith(f"{len(rows)} rows from {tmp_path}")
    stems = {stem.replace("/", "_") for stem in drawn(name)}
    files = list((tmp_path / "out").iterdir())
    assert {file.name for file in files} == {f"{s}.{kind}" for s in stems for kind in ("png", "pdf")}
    assert all(str(file) in said and file.stem.startswith(name) for file in files)


@pytest.mark.parametrize("name", MAKERS)
def test_missing_data_names_what_makes_it(name, tmp_path, capsys):
    assert command.main([name, "--rows", str(file_of(NOTHING, tmp_path)), "--out", str(tmp_path)]) == 2
    assert f"no rows here that {name} shows: `python -m {MAKERS[name]}`" in capsys.readouterr().err
    (tmp_path / "results/reference").mkdir(parents=True)
    suite = command.module_of(name).SUITE
    with pytest.raises(UserError, match=f"no rows of '{suite}' yet: run `python -m {MAKERS[name]}`"):
        _rows.read(suite, tmp_path, command._benchmark(suite))


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are drawn and not written; their names are told as if they were."""

    def told(canvas, folder, stem):
        return [folder / f"{stem.replace('/', '_')}.png"]

    monkeypatch.setattr(_style, "save", told)


def test_all_draws_what_the_rows_fill_and_no_more(unsaved, tmp_path):
    for rows in set(made.FIGURES.values()) - {None}:
        stems = {file.stem for file in command.render("all", _rows.frame(rows()), tmp_path)}
        for name in (name for name, own in made.FIGURES.items() if own is rows):
            assert stems >= {stem.replace("/", "_") for stem in drawn(name)}
        assert "smoothing" not in stems
    assert command.render("all", _rows.frame(NOTHING), tmp_path) == []


def test_a_figure_of_no_rows_takes_none(tmp_path, capsys):
    for words in (["--rows", str(file_of(NOTHING, tmp_path))], ["--suite", "quick"]):
        assert command.main(["smoothing", *words]) == 2
        assert "smoothing is drawn from no rows: leave --rows and --suite out" in capsys.readouterr().err


def test_a_suite_of_one_s_own_is_read_by_its_name(tmp_path):
    mine = tmp_path / "results/runs/mine"
    mine.mkdir(parents=True)
    file_of([made.row("adam")], mine, "one.json")
    data = _rows.read("mine", tmp_path)
    assert (list(data["label"]), data.attrs["source"]) == (["Adam"], "results/runs/mine")
    with pytest.raises(UserError, match="unknown suite 'mina': did you mean 'mine'"):
        _rows.read("mina", tmp_path)
    (mine / "one.json").unlink()
    with pytest.raises(UserError, match="no rows of 'mine' yet"):
        _rows.read("mine", tmp_path)


@pytest.mark.parametrize(
    ("model", "file", "title"),
    [
        ("facebook/opt-13b", "facebook_opt-13b", "facebook/opt-13b"),
        ("/home/me/a/long/way/down/models/tiny", "_home_me_a_long_way_down_models_tiny", "tiny"),
    ],
)
def test_a_hub_model_or_a_folder_makes_files_side_by_side(model, file, title, tmp_path):
    rows = [made.row(m, t, model) for m in ("adam", "mezo") for t in ("rte", "sst2")]
    rows += [*made.k0_sweep(model), *made.figure11(model)]
    files = command.render("k0_sweep", _rows.frame(rows), tmp_path)
    assert files == [tmp_path / f"k0_sweep-{file}.{kind}" for kind in ("png", "pdf")]
    assert all(f.is_file() for f in files)
    for name in ("figure1", "figure11", "k0_sweep"):
        for figure in command.module_of(name).draw(_rows.frame(rows)).values():
            words = [legend.get_title().get_text() for legend in figure.legends]
            words += [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
            assert any(title in text and "/way/" not in text for text in words)
            assert faults(figure) == []


def rounding():
    """Three methods in every arithmetic of the suite `rounding`: fourteen labels."""
    rows = []
    for method in ("addax", "mezo", "ip-sgd"):
        ways = [("float32", ""), ("bfloat16", ""), ("float16", ""), ("bfloat16", " (nearest)")]
        ways += [("bfloat16", " (released)")] if method != "ip-sgd" else []
        for task in ("cb", "wsc", "squad"):
            for dtype, other in ways:
                row = made.row(method, task)
                row["config"]["dtype"], row["label"] = dtype, row["label"] + other
                rows.append(row)
    return rows


def test_fourteen_labels_fit_and_are_told_apart():
    data = _rows.frame(rounding())
    figure = command.module_of("figure1").draw(data)["figure1-nano-opt"]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert len(labels) == 14
    assert labels[:5] == ["Addax", *(f"Addax{x}" for x in (" (nearest) bfloat16", " (released) bfloat16",
                                                           " bfloat16", " float16"))]  # fmt: skip
    assert faults(figure) == []
    for axes in figure.axes:
        here = [label for label, patch in bars(axes) if patch.get_x() < 0.5]
        assert here == labels
        looks = {(p.get_facecolor(), p.get_hatch()) for _, p in bars(axes)}
        assert len(looks) == 14
    steps = command.module_of("convergence").draw(data)["convergence-nano-opt-steps"]
    assert len(steps.legends[0].get_texts()) == 14
    assert faults(steps) == []


def test_other_arithmetics_have_their_method_s_hue_and_no_colour_twice():
    labels = [*_rows.METHODS, *(f"{m} bfloat16" for m in _rows.METHODS), "MeZO (released)", "Mine bfloat16"]
    looks = _style.looks(labels)
    assert len({look.color for look in looks.values()}) == len(labels)
    assert looks["MeZO"] == _style.looks(["MeZO"])["MeZO"]
    for label in ("MeZO bfloat16", "MeZO (released)"):
        assert looks[label].marker == looks["MeZO"].marker
        red, _, blue = (int(looks[label].color[i : i + 2], 16) for i in (1, 3, 5))
        assert blue > red
    assert _rows.ordered(_rows.frame(rounding()), "label")[5] == "MeZO"


def test_faults_are_noticed():
    figure = Figure(figsize=(3.0, 2.0))
    axes = figure.subplots(1, 2)
    axes[0].plot([0, 1])
    figure.text(0.5, 0.5, "one thing")
    figure.text(0.52, 0.5, "on another", fontsize=5)
    figure.text(0.95, 0.1, "over the edge")
    found = "\n".join(faults(figure))
    for words in ("'one thing' touches 'on another'", "is small", "empty panel", "cut off by", "inches wide"):
        assert words in found
