"""Tests of method styles, page sizes, and model names."""

import pytest

from benchmarks.results.frame import frame
from benchmarks.results.order import METHODS, display_order
from plots._style import PAGE, Page, file_stem, format_model, styles
from tests.benchmarks.results import result_rows
from tests.plots.figure_checks import bars, defects_of, drawn


def test_each_method_has_a_unique_color_and_marker():
    found = styles([*METHODS, "Mine", "Yours", "Theirs"])
    assert len({x.color for x in found.values()}) == len({x.marker for x in found.values()}) == len(found)
    assert styles(["Yours", "Mine"]) == styles(["Mine", "Yours"])


def test_variants_share_the_hue_of_their_method_and_all_colors_differ():
    labels = [*METHODS, *(f"{m} bfloat16" for m in METHODS), "MeZO (released)", "Mine bfloat16"]
    found = styles(labels)
    assert len({style.color for style in found.values()}) == len(labels)
    assert found["MeZO"] == styles(["MeZO"])["MeZO"]
    for label in ("MeZO bfloat16", "MeZO (released)"):
        assert found[label].marker == found["MeZO"].marker
        red, _, blue = (int(found[label].color[i : i + 2], 16) for i in (1, 3, 5))
        assert blue > red


def rounding():
    """Return rows of three methods in every arithmetic of the suite `rounding`, with fourteen labels."""
    rows = []
    for method in ("addax", "mezo", "ip-sgd"):
        variants = [("float32", ""), ("bfloat16", ""), ("float16", ""), ("bfloat16", " (nearest)")]
        variants += [("bfloat16", " (released)")] if method != "ip-sgd" else []
        for task in ("cb", "wsc", "squad"):
            for dtype, suffix in variants:
                row = result_rows.row(method, task)
                row["config"]["dtype"], row["label"] = dtype, row["label"] + suffix
                rows.append(row)
    return rows


def test_fourteen_labels_fit_and_can_be_distinguished():
    figure = drawn("figure1", rounding())["figure1-nano-opt"]
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert len(labels) == 14
    assert labels[:5] == ["Addax", *(f"Addax{x}" for x in (" (nearest) bfloat16", " (released) bfloat16",
                                                           " bfloat16", " float16"))]  # fmt: skip
    assert defects_of(figure) == []
    for axes in figure.axes:
        bar_labels = [label for label, patch in bars(axes) if patch.get_x() < 0.5]
        assert bar_labels == labels
        assert len({(p.get_facecolor(), p.get_hatch()) for _, p in bars(axes)}) == 14
    steps = drawn("convergence", rounding())["convergence-nano-opt-steps"]
    assert len(steps.legends[0].get_texts()) == 14
    assert defects_of(steps) == []
    assert display_order(frame(rounding()), "label")[5] == "MeZO"


def test_a_narrow_page_has_fewer_panels_side_by_side():
    assert [PAGE.columns(9), PAGE.columns(2), PAGE.columns(1)] == [3, 2, 1]
    assert [Page(6.9).columns(9), Page(3.3).columns(9), Page(3.3, 14).columns(9)] == [3, 1, 1]
    assert Page(6.9, 12).columns(9) == 2


@pytest.mark.parametrize(
    ("model", "name", "stem"),
    [("./mine/opt", "opt", "._mine_opt"), ("facebook/opt-13b", "facebook/opt-13b", "facebook_opt-13b")],
)
def test_a_model_path_gives_a_short_name_and_a_file_stem_without_slashes(model, name, stem):
    assert (format_model(model), file_stem(model)) == (name, stem)
