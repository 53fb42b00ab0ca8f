"""Tests of the convergence figure: every evaluation against the budget of the runs or a selected axis."""

from statistics import mean

import pytest

from benchmarks.errors import UserError
from plots._style import styles
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import drawn

AXES = {
    "steps": "step",
    "seconds": "train_seconds",
    "examples": "examples",
    "forward-equivalents": "forward_equivalents",
}


@pytest.mark.parametrize(("axis", "key"), AXES.items())
def test_every_evaluation_and_the_selected_checkpoint_are_drawn(axis, key):
    rows = result_rows.suite(methods=("zero-shot", "adam", "mezo"), tasks=("wic", "cb"))
    (figure,) = drawn("convergence", rows, axis=axis).values()
    top, _, bottom, _ = figure.axes
    assert top.get_title() == "CB"
    adam_style = styles(["Adam"])["Adam"]
    for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
        curves = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert len(curves) == 2  # zero-shot has no curve
        row = next(r for r in rows if r["label"] == "Adam" and r["config"]["task"] == "cb")
        adam = next(c for c in curves if c.get_color() == adam_style.color)
        assert list(adam.get_xdata()) == pytest.approx([e[key] for e in row["curve"]])
        assert list(adam.get_ydata()) == pytest.approx([scale * e[measure] for e in row["curve"]])
        marks = [line for line in axes.lines if line.get_marker() == adam_style.marker]
        assert [m.get_xdata()[0] for m in marks] == [
            e[key] for e in row["curve"] if e["step"] == row["best_step"]
        ]


@pytest.mark.parametrize("axis", AXES)
def test_the_default_axis_is_the_budget_of_the_runs(axis):
    rows = result_rows.suite(methods=("zero-shot", "adam"), tasks=("cb",))
    for row in rows[1:]:
        row["config"] |= {"steps": None, axis.replace("-", "_"): 64}
    assert set(drawn("convergence", rows)) == {f"convergence-nano-opt-{axis}"}
    assert set(drawn("convergence", rows, axis="steps")) == {"convergence-nano-opt-steps"}


def test_an_unknown_axis_is_an_error_that_suggests_a_name():
    with pytest.raises(UserError, match="unknown axis 'step': did you mean 'steps'"):
        drawn("convergence", [result_rows.row()], axis="step")


def test_seeds_evaluated_at_different_steps_form_one_line():
    """Under a budget of seconds, each seed completes a different number of steps."""
    rows = [result_rows.row("adam", "wic", seed=seed) for seed in (0, 1)]
    for row, offset in zip(rows, (0, 3), strict=True):
        row["curve"] = [e | {"step": e["step"] + offset * bool(e["step"])} for e in row["curve"]]
        row["best_step"] += offset
    top = drawn("convergence", rows)["convergence-nano-opt-steps"].axes[0]
    line = next(line for line in top.lines if line.get_linestyle() == "-")
    both = list(zip(*(row["curve"] for row in rows), strict=True))
    assert list(line.get_xdata()) == pytest.approx([mean(e["step"] for e in pair) for pair in both])
    assert list(line.get_ydata()) == pytest.approx([mean(100 * e["score"] for e in pair) for pair in both])
    (mark,) = (line for line in top.lines if line.get_marker() == styles(["Adam"])["Adam"].marker)
    assert list(mark.get_xdata()) == [
        mean(e["step"] for e in pair) for pair in both if pair[0]["step"] == rows[0]["best_step"]
    ]


def test_an_axis_that_some_rows_lack_gives_no_figure():
    rows = result_rows.suite(methods=("adam", "mezo"), tasks=("wic",))
    for point in rows[0]["curve"]:
        del point["forward_equivalents"]
    assert drawn("convergence", rows, axis="forward-equivalents") == {}
    assert drawn("convergence", rows, axis="examples")
