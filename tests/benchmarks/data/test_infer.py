"""Tests of descriptions from data files: columns, answers, ambiguity, and files that the user has edited."""

import json
import re
import tomllib

import pytest

from benchmarks import tasks
from benchmarks.data import formats, infer
from benchmarks.errors import UserError
from benchmarks.results import store


def table(count=40, **columns):
    """Return rows; a column is a list of values that repeat, or a text with {i} for the row's number."""
    return [
        {n: v.format(i=i) if isinstance(v, str) else v[i % len(v)] for n, v in columns.items()}
        for i in range(count)
    ]


@pytest.fixture
def file(tmp_path):
    def write(rows, name="reviews.jsonl"):
        path = tmp_path / name
        if path.suffix == ".csv":
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            path.write_text("\n".join(lines))
        else:
            path.write_text("\n".join(map(json.dumps, rows)))
        return path

    return write


TEXT = "a film of {i} minutes"
PAIR = {"premise": "it rained {i} times", "hypothesis": "it was wet {i} times"}
CASES = {
    "a usual text and label": (
        {"id": "{i}", "text": TEXT, "label": ["b", "a"]},
        {"prompt": "{text}\nLabel:", "label": "label", "answers": {"a": " a", "b": " b"}},
    ),
    "names in other cases": (
        {"Review": TEXT, "Sentiment": ["good", "bad"]},
        {"prompt": "{Review}\nSentiment:", "label": "Sentiment", "answers": {"bad": " bad", "good": " good"}},
    ),
    "a pair": (
        PAIR | {"label": [0, 1, 2]},
        {
            "prompt": "Premise: {premise}\nHypothesis: {hypothesis}\nLabel:",
            "label": "label",
            "answers": {"0": " 0", "1": " 1", "2": " 2"},
        },
    ),
    "numbers in their order": (
        {"text": TEXT, "stars": [10, 9, 2]},
        {"prompt": "{text}\nStars:", "label": "stars", "answers": {"2": " 2", "9": " 9", "10": " 10"}},
    ),
    "booleans": (
        {"passage": TEXT, "question": "is it {i}", "answer": [True, False]},
        {
            "prompt": "Passage: {passage}\nQuestion: {question}\nAnswer:",
            "label": "answer",
            "answers": {"false": " false", "true": " true"},
        },
    ),
    "names of the classes beside their numbers": (
        {"text": TEXT, "label": [1, 0], "label_text": ["fine", "poor"]},
        {"prompt": "{text}\nLabel:", "label": "label", "answers": {"0": " poor", "1": " fine"}},
    ),
    "rows without a public label": (
        {"text": TEXT, "label": [0, 1, -1]},
        {"prompt": "{text}\nLabel:", "label": "label", "answers": {"0": " 0", "1": " 1"}},
    ),
    "unusual names, by their values": (
        {"number": "{i}", "what": TEXT, "verdict": ["yes", "no"]},
        {"prompt": "{what}\nVerdict:", "label": "verdict", "answers": {"no": " no", "yes": " yes"}},
    ),
    "a question with a generated answer": (
        {"question": "what is {i}", "answer": "it is {i}"},
        {"prompt": "Question: {question}\nAnswer:", "answer": "{answer}", "metric": "f1"},
    ),
    "a question with a number": (
        {"question": "what is {i}", "answer": "it is {i} #### {i}"},
        {"prompt": "Question: {question}\nAnswer:", "answer": "{answer}", "metric": "exact_match"},
    ),
    "a question with an amount": (
        {"question": "what is {i}", "answer": "-${i}.5"},
        {"prompt": "Question: {question}\nAnswer:", "answer": "{answer}", "metric": "exact_match"},
    ),
    "a prompt with a completion": (
        {"prompt": "say {i}", "completion": "I say {i}"},
        {"prompt": "{prompt}", "answer": "{completion}", "metric": "f1"},
    ),
    "an instruction with an output of 60 words": (
        {"instruction": "say {i} now", "input": ["", "loud"], "output": "word {i} " * 30},
        {
            "prompt": "Instruction: {instruction}\nInput: {input}\nOutput:",
            "answer": "{output}",
            "metric": "f1",
            "max_new_tokens": 120,
        },
    ),
}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("name", CASES)
def test_the_columns_determine_the_task(file, name, suffix):
    columns, expected = CASES[name]
    text = infer.describe(file(table(**columns), f"reviews{suffix}"))
    values = tomllib.loads(text)
    assert values == {"title": "reviews"} | expected
    # The order of the classes is that of the candidates.
    assert list(values.get("answers", {})) == list(expected.get("answers", {}))


@pytest.mark.parametrize("name", CASES)
def test_a_description_fits_every_row_of_its_file(file, tmp_path, name):
    rows = [row for row in table(**CASES[name][0]) if row.get("label") != -1]
    path = file(rows)
    (tmp_path / "made.toml").write_text(infer.describe(path))
    tasks.load.cache_clear()
    task = tasks.load(str(tmp_path / "made.toml"))
    assert len([row for _, raw in formats.rows(path) for row in task.from_file(raw)]) == len(rows)


@pytest.mark.parametrize(
    "like", ["1911-02-{i}", "{i}:01", "{i}/7", "{i}th", "{i} m", "{i}%", "1.2.{i}", "{i}-"]
)
def test_texts_that_begin_with_a_number_are_compared_as_texts(file, like):
    """As numbers, all dates of a year would be equal."""
    values = tomllib.loads(infer.describe(file(table(question="what is {i}", answer=like))))
    assert values["metric"] == "f1"


def test_answers_that_never_repeat_are_no_classes_even_if_the_user_names_them(file):
    rows = [row | {"answer": f"word{i}"} for i, row in enumerate(table(120, question="what is {i}"))]
    values = tomllib.loads(infer.describe(file(rows), label="answer"))
    assert (values.get("answer"), values.get("answers")) == ("{answer}", None)
    # Thirty intents in four rows each are classes, if the user says that they are the label.
    rows = [row | {"verdict": f"word{i % 30}"} for i, row in enumerate(rows)]
    assert len(tomllib.loads(infer.describe(file(rows), label="verdict"))["answers"]) == 30


def test_the_name_of_a_column_may_contain_line_breaks(tmp_path):
    path = tmp_path / "reviews.csv"
    rows = "".join(f"a film of {i} minutes,{i % 2},3\n" for i in range(40))
    path.write_text('text,label,"Customer\nrating\x07"\n' + rows)
    text = infer.describe(path)
    assert "# Columns that are not used: Customer rating\n" in text
    assert tomllib.loads(text)["label"] == "label"


def test_columns_that_are_not_used_are_named_in_a_comment(file):
    text = infer.describe(file(table(text=TEXT, label=[0, 1], url="u{i}", day=[3, 4])))
    assert "# Columns that are not used: url, day\n" in text


def test_chosen_columns_replace_the_usual_ones(file):
    path = file(table(title="a title {i} here", text=TEXT, label=[0, 1], stars=[1, 2, 3]))
    values = tomllib.loads(infer.describe(path, label="stars", texts=["title", "text"]))
    assert values["prompt"] == "Title: {title}\nText: {text}\nStars:"
    assert list(values["answers"]) == ["1", "2", "3"]


def test_a_parquet_file_of_datasets_names_its_classes(tmp_path):
    import datasets

    names = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = datasets.Dataset.from_list(table(text=TEXT, label=[0, 1]), features=names)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert tomllib.loads(infer.describe(tmp_path / "rows.parquet"))["answers"] == {"0": " no", "1": " yes"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": TEXT, "sentiment": [1, 0], "rating": [1, 2, 3]},
         "'sentiment' and 'rating' could be the label (columns: text, sentiment, rating): name it"),
        ({"text": TEXT, "a": [1, 0], "b": [1, 2, 3]}, "'a' and 'b' could be the label"),
        ({"text": TEXT, "n": "{i}"}, "no column looks like a label (columns: text, n): name it with --label"),
        ({"text": TEXT, "review": TEXT, "label": [0, 1]},
         "'text' and 'review' could be the text (columns: text, review, label): name it with --text"),
        ({"a": TEXT, "b": TEXT, "label": [0, 1]}, "'a' and 'b' could be the text"),
        ({"question": TEXT, "choice1": TEXT, "label": [0, 1]}, "'question' and 'choice1' could be the text"),
        ({"n": "{i}", "label": [0, 1]}, "no column looks like a text (columns: n, label)"),
        ({"a{b": TEXT, "label": [0, 1]}, "column 'a{b' has a brace in its name: rename it"),
    ],
)  # fmt: skip
def test_ambiguous_columns_are_an_error_that_lists_them(file, columns, message):
    path = file(table(**columns))
    with pytest.raises(UserError, match=re.escape(f"{path}: {message}")):
        infer.describe(path)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"label": "lable"}, "unknown column 'lable': did you mean 'label'?"),
        ({"texts": ["txt"]}, "unknown column 'txt': did you mean 'text'?"),
        ({"label": "text", "texts": ["text"]}, "column 'text' cannot be a text and the label at once"),
    ],
)
def test_a_chosen_column_that_does_not_fit_is_named(file, chosen, message):
    with pytest.raises(UserError, match=re.escape(message)):
        infer.describe(file(table(text=TEXT, label=[0, 1])), **chosen)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def test_the_description_is_written_once_and_follows_the_file(file, runs):
    path = file(table(text=TEXT, label=[0, 1]), "my reviews.v2.csv")
    made = infer.task_for(path, "mine")
    assert made == str(runs / "mine" / "my_reviews.v2.toml")
    first = (runs / "mine" / "my_reviews.v2.toml").read_bytes()
    changed = (runs / "mine" / "my_reviews.v2.toml").stat().st_mtime_ns
    assert infer.task_for(path, "mine") == made
    assert (runs / "mine" / "my_reviews.v2.toml").stat().st_mtime_ns == changed
    file(table(text=TEXT, label=[0, 1, 2]), path.name)
    infer.task_for(path, "mine")
    assert tomllib.loads((runs / "mine" / "my_reviews.v2.toml").read_text())["answers"].keys() == {
        "0",
        "1",
        "2",
    }
    assert first != (runs / "mine" / "my_reviews.v2.toml").read_bytes()
    assert [f.name for f in (runs / "mine").iterdir()] == ["my_reviews.v2.toml"]


def test_a_description_that_the_user_has_edited_is_kept(file, runs):
    path = file(table(text=TEXT, label=[0, 1]))
    target = runs / "mine" / "reviews.toml"
    infer.task_for(path, "mine")
    edited = target.read_text().replace('" 0"', '" terrible"')
    target.write_text(edited)
    file(table(text=TEXT, label=[0, 1, 2]))
    assert infer.task_for(path, "mine") == str(target)
    assert target.read_text() == edited
    with pytest.raises(UserError, match=r"reviews\.toml was edited.*leave out --label and --text, or remove"):
        infer.task_for(path, "mine", label="label")
    # Without its checksum, a description counts as edited.
    own = "\n".join(edited.splitlines()[:-1])
    target.write_text(own)
    infer.task_for(path, "mine")
    assert target.read_text() == own
