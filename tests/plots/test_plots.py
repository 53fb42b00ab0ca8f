"""Figures show what the rows say, fit their canvas, and come out the same every time."""

import json
import math
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.text import Annotation

from benchmarks.errors import UserError
from benchmarks.results import frame as _rows
from plots import __main__ as command
from plots import _style, arithmetic, convergence, figure1, k0_sweep
from tests.benchmarks.results import result_rows as made
from tests.plots.figure_checks import bars, faults, file_of

ROOT = Path(__file__).resolve().parents[2]
TASKS = list(made.TITLES)


@pytest.fixture(scope="module")
def rows():
    """Nine tasks, all methods, one out of memory, one failed, one killed, and a sweep on one task."""
    rows = [
        r
        for r in made.suite()
        if (r["config"]["method"], r["config"]["task"])
        not in {("sgd", "record"), ("mezo", "cb"), ("mezo-svrg", "wsc")}
    ]
    rows += [*made.k0_sweep(), made.row(task="multirc", label="Addax-WA", length_threshold=None)]
    rows += [made.row("sgd", "record", status="OOM", reason="out of memory at a batch of one")]
    rows += [made.row("mezo-svrg", "wsc", status="killed", reason="the worker died twice")]
    # What ran out of memory for another reason than its batch has the status that its row tells.
    return [*rows, made.row("mezo", "cb", status="failed", reason="out of memory while loading")]


def test_figure1_draws_a_bar_for_each_run_in_its_method_s_colour(rows):
    figure = figure1.draw(_rows.frame(rows))["figure1-nano-opt"]
    score, memory, time = figure.axes
    for axes in (score, memory, time):
        count = Counter(label for label, _ in bars(axes))
        assert count == {
            "Addax": 9,
            "Addax-WA": 1,
            "MeZO": 8,
            "MeZO-SVRG": 8,
            "IP-SGD": 9,
            "SGD": 8,
            "Adam": 9,
        }
        for label, patch in bars(axes):
            assert to_hex(patch.get_facecolor()).upper() == _style.looks([label])[label].color
        marks = [t.get_text() for t in axes.texts if isinstance(t, Annotation)]
        assert sorted(marks) == ["OOM", "failed", "killed"]
    assert [t.get_text() for t in time.get_xticklabels()] == list(made.TITLES.values())


@pytest.mark.parametrize(
    ("panel", "field", "scale"), [(0, "score", 100), (1, "peak_bytes", 1e-6), (2, "train_seconds_to_best", 1)]
)
def test_figure1_bars_have_the_heights_of_the_rows(rows, panel, field, scale):
    axes = figure1.draw(_rows.frame(rows))["figure1-nano-opt"].axes[panel]
    heights = {(label, round(p.get_x() + p.get_width() / 2)): p.get_height() for label, p in bars(axes)}
    adam = {TASKS.index(r["config"]["task"]): r[field] for r in rows if r["label"] == "Adam"}
    assert {i: heights["Adam", i] for i in range(9)} == pytest.approx({i: scale * v for i, v in adam.items()})


def test_figure1_bars_keep_the_fixed_order_and_do_not_overlap(rows):
    axes = figure1.draw(_rows.frame(rows))["figure1-nano-opt"].axes[0]
    for i in range(9):
        here = [
            (p.get_x(), p.get_x() + p.get_width(), label)
            for label, p in bars(axes)
            if round(p.get_x() + 0.05) == i
        ]
        here.sort()
        order = [_rows.METHODS.index(label) for *_, label in here]
        assert order == sorted(order)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(here))


def test_figure1_zero_shot_is_a_line_at_its_score(rows):
    axes = figure1.draw(_rows.frame(rows))["figure1-nano-opt"].axes[0]
    drawn = {
        round(sum(line.get_xdata()) / 2): line.get_ydata()[0]
        for line in axes.lines
        if line.get_label() == "zero-shot"
    }
    told = {TASKS.index(r["config"]["task"]): 100 * r["score"] for r in rows if r["label"] == "zero-shot"}
    assert drawn == pytest.approx(told)


def test_figure1_error_bars_are_the_deviation_over_seeds():
    rows = made.suite(seeds=(0, 1, 2), methods=("adam", "mezo"), tasks=("rte", "sst2"))
    axes = figure1.draw(_rows.frame(rows))["figure1-nano-opt"].axes[0]
    scores = [100 * r["score"] for r in rows if r["label"] == "Adam" and r["config"]["task"] == "sst2"]
    box = next(
        b
        for b in axes.containers
        if isinstance(b, BarContainer) and b.get_label() == "Adam" and b[0].get_x() < 0.5
    )
    (low, high) = box.errorbar.lines[2][0].get_segments()[0][:, 1]
    assert (low + high) / 2 == pytest.approx(mean(scores))
    assert (high - low) / 2 == pytest.approx(stdev(scores))


def test_a_sweep_of_k0_never_becomes_the_entry_of_its_method(rows):
    best = made.row("addax", "sst2", zo_batch_size=12, fo_batch_size=4)
    best["validation"]["accuracy"] = 1.0
    kept = _rows.chosen(_rows.frame([r for r in rows if r["id"] != best["id"]] + [best]))
    line = kept[(kept["label"] == "Addax") & (kept["task"] == "sst2")]
    assert list(line["zo_batch_size"]) == [6]


def test_the_learning_rate_is_chosen_on_validation_not_on_test():
    low, high = made.row("adam", lr=1e-4), made.row("adam", lr=1e-2)
    low["validation"]["accuracy"], low["score"] = 0.9, 0.6
    high["validation"]["accuracy"], high["score"] = 0.8, 0.95
    line = _rows.summary(_rows.frame([low, high])).iloc[0]
    assert (line["lr"], line["score"], line["n"]) == (1e-4, 0.6, 1)


def test_a_repeated_run_is_no_second_seed():
    old, new = made.row("adam"), made.row("adam")
    old["score"], old["ended"] = 0.1, "2026-02-01T00:00:00+00:00"
    for order in ([old, new], [new, old]):
        line = _rows.summary(_rows.frame(order)).iloc[0]
        assert (line["n"], line["score"]) == (1, new["score"])


def test_convergence_draws_every_evaluation_and_the_chosen_checkpoint():
    rows = made.suite(methods=("zero-shot", "adam", "mezo"), tasks=("wic", "cb"))
    figures = convergence.draw(_rows.frame(rows))
    keys = {"steps": "step", "seconds": "train_seconds", "examples": "examples"}
    keys["forward-equivalents"] = "forward_equivalents"
    assert set(figures) == {f"convergence-nano-opt-{x}" for x in keys}
    for name, key in keys.items():
        top, _, bottom, _ = figures[f"convergence-nano-opt-{name}"].axes
        assert top.get_title() == "CB"
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            curves = [line for line in axes.lines if line.get_linestyle() == "-"]
            assert len(curves) == 2  # zero-shot has no curve
            row = next(r for r in rows if r["label"] == "Adam" and r["config"]["task"] == "cb")
            adam = next(c for c in curves if c.get_color() == _style.looks(["Adam"])["Adam"].color)
            assert list(adam.get_xdata()) == pytest.approx([e[key] for e in row["curve"]])
            assert list(adam.get_ydata()) == pytest.approx([scale * e[measure] for e in row["curve"]])
            marks = [
                line for line in axes.lines if line.get_marker() == _style.looks(["Adam"])["Adam"].marker
            ]
            assert [m.get_xdata()[0] for m in marks] == [
                e[key] for e in row["curve"] if e["step"] == row["best_step"]
            ]


def test_seeds_that_were_evaluated_at_other_steps_make_one_line():
    """Under a budget of seconds each seed gets as far as it gets."""
    rows = [made.row("adam", "wic", seed=seed) for seed in (0, 1)]
    for row, late in zip(rows, (0, 3), strict=True):
        row["curve"] = [e | {"step": e["step"] + late * bool(e["step"])} for e in row["curve"]]
        row["best_step"] += late
    top = convergence.draw(_rows.frame(rows))["convergence-nano-opt-steps"].axes[0]
    line = next(line for line in top.lines if line.get_linestyle() == "-")
    both = list(zip(*(row["curve"] for row in rows), strict=True))
    assert list(line.get_xdata()) == pytest.approx([mean(e["step"] for e in pair) for pair in both])
    assert list(line.get_ydata()) == pytest.approx([mean(100 * e["score"] for e in pair) for pair in both])
    (mark,) = (line for line in top.lines if line.get_marker() == _style.looks(["Adam"])["Adam"].marker)
    assert list(mark.get_xdata()) == [
        mean(e["step"] for e in pair) for pair in both if pair[0]["step"] == rows[0]["best_step"]
    ]


def test_convergence_leaves_out_what_earlier_rows_did_not_count():
    rows = made.suite(methods=("adam", "mezo"), tasks=("wic",))
    for point in rows[0]["curve"]:
        del point["forward_equivalents"]
    figures = convergence.draw(_rows.frame(rows))
    assert set(figures) == {f"convergence-nano-opt-{x}" for x in ("steps", "seconds", "examples")}


def test_k0_sweep_starts_at_ip_sgd(rows):
    (axes,) = k0_sweep.draw(_rows.frame(rows))["k0_sweep-nano-opt"].axes
    sizes = {0, 1, 2, 4, 6, 8, 12, 16}
    assert set(axes.get_xticks()) == sizes
    colors = {
        to_hex(line.get_color()).upper(): list(line.get_xdata())
        for line in axes.lines
        if line.get_marker() != "None"
    }
    assert colors == {"#009E73": [0], "#D55E00": sorted(sizes - {0})}
    curve = next(line for line in axes.lines if line.get_linestyle() == "-")
    told = {r["config"]["settings"]["zo_batch_size"]: 100 * r["score"] for r in made.k0_sweep()}
    assert dict(zip(curve.get_xdata(), curve.get_ydata(), strict=True)) == pytest.approx(told)


def test_k0_sweep_without_assignment_shows_no_run_with_it():
    sweep = [
        made.row(zo_batch_size=k, fo_batch_size=4, length_threshold=None, label="Addax-WA")
        for k in (0, 2, 8, 16)
    ]
    other = made.row(zo_batch_size=6, fo_batch_size=4)
    (axes,) = k0_sweep.draw(_rows.frame([*sweep, other]))["k0_sweep-nano-opt"].axes
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["Addax-WA", "IP-SGD"]
    curve = next(line for line in axes.lines if line.get_linestyle() == "-")
    assert list(curve.get_xdata()) == [0, 2, 8, 16]
    assert list(curve.get_ydata()) == pytest.approx([100 * r["score"] for r in sweep])


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_k0_sweep_has_a_panel_for_each_swept_task_and_no_other(count):
    rows = [row for task in TASKS[:count] for row in made.k0_sweep(task=task)]
    figure = k0_sweep.draw(_rows.frame(rows))["k0_sweep-nano-opt"]
    titles = [f"{title}, nano-opt" for title in list(made.TITLES.values())[:count]]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert faults(figure) == []


def test_k0_sweep_needs_a_sweep():
    assert k0_sweep.draw(_rows.frame(made.suite())) == {}


@pytest.mark.parametrize("count", ["one task", "seven tasks", "nine tasks"])
def test_no_text_is_cut_or_crowded_or_under_seven_points(rows, count):
    if count != "nine tasks":
        wide = TASKS[:1] if count == "one task" else TASKS[:7]
        rows = [*made.suite(models=("big",), tasks=wide), made.row(label="Mine", model="big")]
    for module in (figure1, convergence, k0_sweep):
        for figure in module.draw(_rows.frame(rows)).values():
            assert faults(figure) == []


def test_methods_have_colours_and_markers_of_their_own():
    looks = _style.looks([*_rows.METHODS, "Mine", "Yours", "Theirs"])
    assert len({x.color for x in looks.values()}) == len({x.marker for x in looks.values()}) == len(looks)
    assert _style.looks(["Yours", "Mine"]) == _style.looks(["Mine", "Yours"])


def test_files_are_the_same_bytes_in_another_process(tmp_path, rows):
    source = file_of(rows, tmp_path)
    for out, seed in (("a", "1"), ("b", "2")):
        done = subprocess.run(
            [sys.executable, "-m", "plots", "k0_sweep", "--rows", source, "--out", tmp_path / out],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    for kind in ("png", "pdf"):
        first, second = ((tmp_path / out / f"k0_sweep-nano-opt.{kind}").read_bytes() for out in "ab")
        assert first == second
    assert b"/FontType 42" in first or b"/CIDFontType2" in first
    assert b"/Type3" not in first
    assert b"CreationDate" not in first


def test_plots_does_without_torch():
    names = ", ".join(["__main__", *command.figures()])
    code = f"import sys; from plots import {names}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert "matplotlib" in loaded
    assert "torch" not in loaded


def lines_of(axes, color):
    """Lines of a colour with their points."""
    return [line for line in axes.lines if line.get_color() == color and len(line.get_xdata()) > 1]


def test_arithmetic_draws_drift_and_what_arrives():
    rows = made.arithmetic()
    figure = arithmetic.draw(_rows.frame(rows))["arithmetic"]
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["synthetic"] * 3 + ["SmolLM2-135M"] * 3
    drift, step = figure.axes[3], figure.axes[4]
    assert titles[4] == "SmolLM2-135M: step, bfloat16"
    told = {
        (r["dtype"], r["steps"]): r["drift"]
        for r in rows
        if (r["weights"], r["measure"], r["arithmetic"]) == ("smollm2-135m", "drift", "released")
    }
    dtypes = {marker: dtype for dtype, marker in arithmetic.MARKERS.items()}
    points = {
        (dtypes[line.get_marker()], x): y
        for line in lines_of(drift, arithmetic.WAYS["released", None][1]["color"])
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert points == told
    for (way, rounding), (_, look) in arithmetic.WAYS.items():
        (line,) = lines_of(step, look["color"])
        told = {
            r["size"]: 100 * r["fraction"]
            for r in rows
            if (r["weights"], r["dtype"], r["measure"]) == ("smollm2-135m", "bfloat16", "fraction")
            and (r["arithmetic"], r["rounding"]) == (way, rounding)
        }
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == pytest.approx(told)


def test_a_drift_of_zero_lies_on_the_axis_and_says_so():
    """0 has a place of its own below the smallest other drift; a drift that is not 0 claims nothing."""
    rows = made.arithmetic()
    for drifts in (False, True):
        if drifts:
            last = next(r for r in reversed(rows) if (r["measure"], r["arithmetic"]) == ("drift", "exact"))
            last["drift"] = 1e-3
        axes = arithmetic.draw(_rows.frame(rows))["arithmetic"].axes[3]
        heights = [axes.transData.transform((1, y))[1] for y in (0, 1e-8, 1e-7)]
        assert axes.get_ylim()[0] == 0
        assert min(b - a for a, b in pairwise(heights)) > 5
        ours = lines_of(axes, arithmetic.WAYS["exact", "stochastic"][1]["color"])
        assert sorted(max(line.get_ydata()) for line in ours) == [0, 0, 1e-3 * drifts]
        assert any("bit for bit" in text.get_text() for text in axes.texts) != drifts


def test_rows_of_a_benchmark_fill_its_figure_alone(tmp_path):
    measured = _rows.frame(made.arithmetic())
    written = command.render("all", measured, tmp_path / "arithmetic")
    assert {file.name for file in written} == {"arithmetic.png", "arithmetic.pdf"}
    written = command.render("all", _rows.frame(made.suite(tasks=("rte",))), tmp_path / "suite")
    assert written
    assert not any("arithmetic" in file.name for file in written)
    with pytest.raises(UserError, match="no rows here that figure1 shows"):
        command.render("figure1", measured, tmp_path)
    with pytest.raises(UserError, match=r"arithmetic shows: `python -m benchmarks\.arithmetic --save`"):
        command.render("arithmetic", _rows.frame([made.row()]), tmp_path)
    with pytest.raises(UserError, match="rows of several kinds"):
        _rows.frame([*made.arithmetic(), made.row()])


def test_dtypes_side_by_side_are_entries_of_their_own():
    wide, half = made.row("adam"), made.row("adam")
    half["config"]["dtype"] = "bfloat16"
    assert sorted(_rows.frame([wide, half])["label"]) == ["Adam", "Adam bfloat16"]
    assert list(_rows.frame([half])["label"]) == ["Adam"]
    zero = made.row("zero-shot")
    zero["config"]["dtype"] = "bfloat16"
    assert sorted(_rows.frame([wide, half, zero])["label"]) == ["Adam", "Adam bfloat16", "zero-shot"]


def test_the_machine_s_own_runs_come_before_committed_rows(tmp_path):
    reference, runs = tmp_path / "results/reference", tmp_path / "results/runs/demo"
    reference.mkdir(parents=True)
    runs.mkdir(parents=True)
    file_of([made.row("adam"), made.row("mezo")], reference, "demo.jsonl")
    data = _rows.read("demo", tmp_path)
    assert (len(data), data.attrs["source"]) == (2, "results/reference/demo.jsonl")
    (runs / "one.json").write_text(json.dumps(made.row("sgd")))
    data = _rows.read("demo", tmp_path)
    assert (list(data["label"]), data.attrs["source"]) == (["SGD"], "results/runs/demo")


def test_a_line_that_is_no_row_is_named(tmp_path):
    path = file_of([made.row()], tmp_path)
    path.write_text(path.read_text() + '{"config": \n')
    with pytest.raises(UserError, match=r"rows\.jsonl:2: not JSON"):
        _rows.read_glob(str(path))
    path.write_text("[1]\n")
    with pytest.raises(UserError, match=r"rows\.jsonl:1: not a result row"):
        _rows.read_glob(str(path))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["figur1"], "did you mean 'figure1'?"),
        (["all", "--rows", "/nowhere/*.json"], "no result rows match '/nowhere/*.json'"),
        (["k0_sweep"], "python -m benchmarks sweep quick"),
    ],
)
def test_a_mistake_is_one_line(words, line, tmp_path, capsys):
    if words == ["k0_sweep"]:
        words = [*words, "--rows", str(file_of([made.row()], tmp_path)), "--out", str(tmp_path)]
    assert command.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert line in error


def test_a_time_of_zero_is_marked_on_the_logarithmic_axis():
    rows = made.suite(methods=("adam", "mezo"), tasks=("rte",))
    rows[1]["train_seconds_to_best"] = 0.0
    time = figure1.draw(_rows.frame(rows))["figure1-nano-opt"].axes[2]
    assert [t.get_text() for t in time.texts] == ["0"]
    assert len(bars(time)) == 1
    assert all(math.isfinite(y) for y in time.get_ylim())


def test_a_model_named_by_its_path_stays_in_its_folder(tmp_path):
    figures = figure1.draw(_rows.frame([made.row(model="./mine/opt"), made.row(model="facebook/opt-13b")]))
    written = [file for stem, figure in figures.items() for file in _style.save(figure, tmp_path, stem)]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file.name for file in written)
    assert {file.stem for file in written} == {"figure1-._mine_opt", "figure1-facebook_opt-13b"}


def test_rows_made_for_tests_are_like_those_of_runs():
    """Their fields have the same names, and what chooses a setting finds a validation score."""
    real = json.loads((ROOT / "results/reference/small-grid.jsonl").read_text().splitlines()[0])
    own = made.row()
    assert own.keys() <= real.keys()
    for name in ("test", "validation", "config"):
        assert own[name].keys() <= real[name].keys(), name
    assert own["curve"][0].keys() <= real["curve"][0].keys()
    data = _rows.read("small-grid", ROOT)
    assert data["validation_score"].notna().all()
    kept = _rows.chosen(data)
    for place, trials in data.groupby(["model", "task", "label"]):
        best = trials[trials["validation_score"] == trials["validation_score"].max()]
        assert set(kept.set_index(["model", "task", "label"]).loc[[place], "lr"]) <= set(best["lr"])


def test_the_axis_of_scores_names_the_metrics_that_are_drawn():
    rows = [made.row(task="sst2"), made.row(task="squad")]
    assert _rows.score_name(_rows.frame(rows)) == "accuracy or F1"
    rows.append(made.row(task="gsm8k") | {"metric": "exact_match"})
    data = _rows.frame(rows)
    assert _rows.score_name(_rows.summary(data), "acc.") == "acc., F1 or exact match"
    assert list(data["task"]) == ["sst2", "squad", "gsm8k"]
