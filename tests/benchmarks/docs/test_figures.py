"""Tests of the figures on pages: they are drawn from committed rows, and out of date once these change."""

import json

import pytest
from PIL import Image

from benchmarks import docs
from benchmarks.docs import figures
from benchmarks.errors import UserError
from tests.benchmarks.results import result_rows

TEXT = "![Scores](figures/quick/figure1-nano-opt.png)\n"


def commit(root, rows):
    folder = root / "results/reference"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quick.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("link", ["docs/figures/a/b.png", "figures/a/b.png", "../figures/a/b.png"])
def test_a_page_at_any_depth_shows_a_figure(tmp_path, link):
    assert figures.shown([f"![Text]({link})"], tmp_path) == [tmp_path / "docs/figures/a/b.png"]


@pytest.mark.medium
def test_a_figure_is_drawn_once_for_the_same_rows(tmp_path):
    commit(tmp_path, [result_rows.row("adam"), result_rows.row("mezo")])
    file = tmp_path / "docs/figures/quick/figure1-nano-opt.png"
    assert figures.refresh([TEXT], tmp_path, check=True) == [file]
    assert not file.exists()
    assert figures.refresh([TEXT], tmp_path, check=False) == [file]
    with Image.open(file) as image:
        assert image.size[0] > 500
    assert figures.refresh([TEXT], tmp_path, check=True) == []
    commit(tmp_path, [result_rows.row("adam")])
    assert figures.refresh([TEXT], tmp_path, check=True) == [file]


def test_an_unknown_figure_is_an_error(tmp_path):
    commit(tmp_path, [result_rows.row("adam")])
    with pytest.raises(UserError, match="no figure has this name"):
        figures.refresh(["![Text](figures/quick/figure9.png)"], tmp_path, check=False)


def test_a_figure_without_committed_rows_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no committed rows"):
        figures.refresh(["![Text](figures/other/figure1-nano-opt.png)"], tmp_path, check=False)


def test_docs_reports_a_figure_that_is_out_of_date(tmp_path):
    commit(tmp_path, [result_rows.row("adam")])
    (tmp_path / "README.md").write_text(TEXT)
    assert docs.refresh(tmp_path, check=True) == [tmp_path / "docs/figures/quick/figure1-nano-opt.png"]
