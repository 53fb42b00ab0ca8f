"""Tests that a task reads its rows as distributed, and as `datasets` exports them from the hub."""

import json
import re

import pytest

from benchmarks import tasks
from benchmarks.data import formats
from benchmarks.data.example import checked_file_examples
from tests.benchmarks.tasks.task_rows import FIXTURES

WRITERS = {"jsonl": "to_json", "json": "to_json", "csv": "to_csv", "parquet": "to_parquet"}


def canonical(name, path):
    task = tasks.load(name)
    return [dict(e.row) for _, raw in formats.rows(path) for e in checked_file_examples(task, raw)]


def labeled(rows):
    """Leave out rows without a public label, as the hub has them in SNLI, of which a task makes no row."""
    return [row for row in rows if row.get("label") != -1]


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", FIXTURES)
def test_an_export_of_datasets_gives_the_rows_of_the_hub(tmp_path, name, suffix):
    import datasets

    task, raw = tasks.load(name), labeled(FIXTURES[name]["hub"])
    path = tmp_path / f"train.{suffix}"
    getattr(datasets.Dataset.from_list(raw), WRITERS[suffix])(path)
    assert canonical(name, path) == [row for one in raw for row in task.from_hub(one)]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
@pytest.mark.parametrize("name", FIXTURES)
def test_distributed_rows_are_read_from_lines_and_from_an_array(tmp_path, name, suffix):
    task, raw = tasks.load(name), FIXTURES[name]["file"]
    path = tmp_path / f"train.{suffix}"
    texts = [json.dumps(row) for row in raw]
    path.write_text("\n".join(texts) if suffix == "jsonl" else f"[{','.join(texts)}]")
    assert canonical(name, path) == [row for one in raw for row in task.from_file(one)]


@pytest.mark.parametrize("name", [name for name in FIXTURES if tasks.load(name).from_hub])
def test_a_row_that_fits_both_forms_means_the_same_in_both(name):
    """A row in the form of the hub that `from_file` accepts, too, must not change its label."""
    task = tasks.load(name)
    for raw in FIXTURES[name]["hub"]:
        try:
            found = list(task.from_file(raw))
        except ValueError:
            continue
        assert found == list(task.from_hub(raw))


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        # The form that has more of the row's fields.
        ("multirc", {"paragraph": "p", "question": "q", "answer": "a", "label": 2}, "'label' must be 0 to 1"),
        ("multirc", {"passage": {"text": "p", "questions": 3}}, "'questions' must be list"),
        ("wsc", {"text": "t", "span1_text": "a", "span2_text": "", "label": 1}, "'span2_text' is empty"),
        ("wsc", {"text": "t", "target": {"span1_text": "a"}, "label": True}, "'span2_text' is missing"),
        ("record", {"passage": "p", "query": "no", "entities": ["a"], "answers": ["a"]}, "no @placeholder"),
        # The form whose type of label the row has.
        ("rte", {"premise": "p", "hypothesis": "h", "label": 2}, "'label' must be 0 to 1, not 2"),
        ("rte", {"premise": "p", "hypothesis": "h", "label": "entailed"}, "did you mean 'entailment'?"),
        ("boolq", {"passage": "p", "question": "q", "label": -1}, "'label' must be 0 to 1, not -1"),
        ("boolq", {"passage": "p", "question": "q", "label": "yes"}, "'label' must be bool, not 'yes'"),
        ("trec", {"text": "t", "coarse_label": 9}, "'coarse_label' must be 0 to 5"),
        ("sst5", {"text": "t", "label": 9}, "'label' must be 0 to 4"),
        # Neither form: the distributed one.
        ("cb", {"text": "t"}, "field 'label' is missing (fields: text)"),
    ],
)
def test_the_error_is_about_the_form_that_a_row_fits_better(name, raw, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        checked_file_examples(tasks.load(name), raw)
