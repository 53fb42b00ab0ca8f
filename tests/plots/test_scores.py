"""Tests of what figures of scores share: the line of the majority score, and negative scores."""

import pytest

from benchmarks.results import majority
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made
from tests.plots.figure_checks import bars, defects_of, drawn

pytestmark = pytest.mark.medium
ROWS = {
    "figure1": made.suite(seeds=(0, 1), tasks=("sst2", "rte")),
    "convergence": made.suite(seeds=(0, 1), tasks=("sst2", "rte")),
    "figure11": made.figure11(),
    "k0_sweep": made.k0_sweep(),
    "figure3_right": made.small_batches(),
}
COLUMN = {"convergence": "validation_score", "figure11": "validation_score"}


def lines_of(figure):
    """Return the heights of the lines of majority scores."""
    return [
        line.get_ydata()[0]
        for axes in figure.axes
        for line in axes.lines
        if line.get_label() == majority.LABEL
    ]


def legends_of(figure):
    found = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    return [[text.get_text() for text in legend.get_texts()] for legend in found]


@pytest.mark.parametrize("name", ROWS)
def test_a_figure_of_scores_has_a_line_of_the_majority_score_and_its_key(name):
    rows = made.with_majority(ROWS[name])
    (figure,) = drawn(name, rows).values()
    expected = majority.by_task(Results.of(rows).means, COLUMN.get(name, "score"))
    assert sorted(set(lines_of(figure))) == pytest.approx(sorted(100 * score for score in expected.values()))
    legends = legends_of(figure)
    assert legends
    assert all(majority.LABEL in texts for texts in legends)
    assert defects_of(figure) == []


@pytest.mark.parametrize("name", ROWS)
def test_without_majority_scores_there_is_no_line_and_no_key(name):
    (figure,) = drawn(name, ROWS[name]).values()
    assert lines_of(figure) == []
    assert all(majority.LABEL not in texts for texts in legends_of(figure))


def test_the_scores_on_long_and_on_short_rows_have_their_own_majority_scores():
    rows = made.with_majority(made.with_lengths(ROWS["figure1"]))
    figures = drawn("figure1", rows)
    for part in ("long", "short"):
        expected = majority.by_task(Results.of(rows).means, f"score_{part}")
        heights = lines_of(figures[f"figure1-nano-opt-{part}"])
        assert sorted(heights) == pytest.approx(sorted(100 * score for score in expected.values()))


def test_the_title_of_heat_maps_states_the_majority_scores():
    rows = made.with_majority(made.sensitivity())
    (figure,) = drawn("sensitivity", rows).values()
    values = [Results.of(rows).runs[name].mean() for name in ("majority_validation", "majority")]
    text = "majority: validation {:.1f}, test {:.1f}".format(*(100 * value for value in values))
    assert text in " ".join(figure.get_suptitle().split())
    (old,) = drawn("sensitivity", made.sensitivity()).values()
    assert "majority" not in old.get_suptitle()


def test_a_map_of_seeds_frames_the_best_mean_and_not_the_best_seed():
    scores = {1e-4: (0.95, 0.5, 0.5), 1e-3: (0.8, 0.8, 0.8), 1e-2: (0.6, 0.6, 0.6)}
    rows = [made.row("mezo", eps=eps, seed=seed) for eps in scores for seed in range(3)]
    for row in rows:
        score = scores[row["config"]["settings"]["eps"]][row["config"]["seed"]]
        row["validation"] = {"score": score, "loss": 0.5, "n": 100}
    (figure,) = drawn("sensitivity", rows).values()
    frames = [patch for axes in figure.axes for patch in axes.patches if not patch.get_fill()]
    assert frames
    # The second column, over all three seeds.
    assert {(f.get_x(), f.get_y(), f.get_width(), f.get_height()) for f in frames} == {(0.5, -0.5, 1, 3)}
    assert list(Results.of(rows).selected["setting"].map(lambda text: '"eps": 0.001' in text)) == [True] * 3


@pytest.mark.parametrize("name", ROWS)
def test_negative_scores_are_inside_the_panel_and_named(name):
    rows = made.signed(ROWS[name])
    (figure,) = drawn(name, rows).values()
    labels = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes]
    assert "MCC (× 100)" in labels
    assert defects_of(figure) == []
    if name == "figure1":
        score = figure.axes[0]
        lowest = min(patch.get_y() + min(patch.get_height(), 0) for _, patch in bars(score))
        assert score.get_ylim()[0] < lowest < 0


def test_a_mixture_of_metrics_is_named_on_the_axis_and_in_the_headings():
    rows = [*made.signed(made.suite(tasks=("rte",))), *made.suite(tasks=("sst2",))]
    (figure,) = drawn("figure1", rows).values()
    assert figure.axes[0].get_ylabel() == "accuracy or MCC\n(%, MCC × 100)"
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["SST-2", "RTE (MCC)"]
    assert defects_of(figure) == []
