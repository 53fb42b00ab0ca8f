"""Tests of tasks without Python: what a TOML file means, and its errors."""

import re

import pytest

from benchmarks import registry, tasks
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.tasks import _fields

REVIEWS = """
title = "Reviews"
prompt = "{text} It was"
label = "sentiment"
[answers]
negative = " terrible"
positive = " great"
"""
QUESTIONS = """
prompt = "{context}\\nQ: {question}\\nA:"
answer = "{answer}"
metric = "f1"
"""
SUMS = 'prompt = "{question}"\nanswer = "{answer}"\nmetric = "exact_match"\n'
RUN = {"method": "sgd", "model": "nano-opt", "steps": 1, "lr": 1e-3}


@pytest.fixture
def described(tmp_path):
    """Write a TOML file, and return the task that it describes."""

    def load(text, name="reviews.toml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        tasks.load.cache_clear()
        return tasks.load(str(tmp_path / name))

    yield load
    tasks.load.cache_clear()


def one_row(task, raw):
    (row,) = task.from_file(raw)
    return row


def test_a_classification_task_renders_what_the_file_says(described):
    task = described(REVIEWS)
    row = one_row(task, {"text": " a film ", "sentiment": "positive", "id": 7})
    assert row == {"text": "a film", "sentiment": 1}
    assert task.title == "Reviews"
    assert task.prompt(row) == "a film It was"
    assert task.candidates(row) == [" terrible", " great"]
    assert task.gold(row) == 1
    assert task.inputs(row) == ("a film",)
    assert (task.metric, task.loss, task.cloze, task.answer) == ("accuracy", "classification", None, None)
    assert task.hub is None
    assert task.generate is None


def test_cloze_and_inputs_replace_the_defaults(described):
    more = 'cloze = "{text} All in all, it was {mask}."\ninputs = ["{title}", "{text}"]\n'
    task = described(REVIEWS.replace("[answers]", more + "[answers]"))
    row = one_row(task, {"text": "a film", "title": "T", "sentiment": "negative"})
    assert task.cloze(row, "[MASK]") == "a film All in all, it was [MASK]."
    assert task.inputs(row) == ("T", "a film")


def test_the_title_is_the_name_of_the_file_by_default(described):
    assert described(QUESTIONS, "trivia.v2.toml").title == "trivia.v2"


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ("0 1", [0, 1]),
        ("0 1", ["0", " 1 "]),
        ("0 1", [0.0, 1.0]),
        ("false true", [False, True]),
        ("false true", ["FALSE", "True"]),
        ("True False", [True, False]),
        ("1.5 2", [1.5, 2]),
        ('"no " "Ja, gern"', ["no", "Ja, gern"]),
    ],
)
def test_a_label_is_compared_as_text_whatever_its_type(described, keys, values):
    names = re.findall(r'"[^"]*"|\S+', keys)
    names = [name if name.isalnum() or name[0] == '"' else f'"{name}"' for name in names]
    lines = [f'{name} = " word{i}"' for i, name in enumerate(names)]
    task = described('prompt = "{text}"\nlabel = "y"\n[answers]\n' + "\n".join(lines))
    assert [one_row(task, {"text": "t", "y": value})["y"] for value in values] == [0, 1]


def test_a_generated_answer_is_one_line_that_ends_the_generation(described):
    task = described(QUESTIONS)
    row = one_row(task, {"context": "c", "question": "q", "answer": "two\n words"})
    assert task.prompt(row) == "c\nQ: q\nA:"
    assert task.answer(row) == " two words\n"
    assert (task.gold(row), task.candidates(row)) == (["two words"], [])
    assert (task.loss, task.metric, task.max_new_tokens) == ("teacher_forcing", "f1", 50)


@pytest.mark.parametrize("value", [["a", "b", "a"], {"text": ["a", "b"], "answer_start": [1, 2]}])
def test_several_accepted_answers_are_a_list_or_squads_dictionary(described, value):
    task = described(QUESTIONS)
    row = one_row(task, {"context": "c", "question": "q", "answer": value})
    assert (task.gold(row), task.answer(row)) == (["a", "b"], " a\n")


@pytest.mark.parametrize(
    ("value", "gold", "answer"),
    [
        ("2 + 2 = 4. #### 4", ["4"], " 2 + 2 = 4. #### 4\n"),
        ("1,050.0", ["1050"], " #### 1050\n"),
        (7, ["7"], " #### 7\n"),
    ],
)
def test_exact_match_compares_the_number_that_the_answer_ends_in(described, value, gold, answer):
    task = described(SUMS)
    row = one_row(task, {"question": "q", "answer": value})
    assert (task.gold(row), task.answer(row)) == (gold, answer)


def test_braces_are_written_twice_and_fields_may_have_any_name(described):
    task = described('prompt = "{{x}} {the text: all}"\nlabel = "y"\n[answers]\na = " a"\nb = " b"')
    assert task.prompt({"the text: all": "t"}) == "{x} t"


def test_unanswered_questions_of_squad_are_skipped(described):
    raw = {"context": "c", "question": "q", "answer": {"text": []}, "is_impossible": True}
    assert described(QUESTIONS).from_file(raw) == []


def test_columns_of_csv_are_read_as_texts(described):
    row = _fields.Texts(text="7", sentiment="positive")
    assert one_row(described(REVIEWS), row) == {"text": "7", "sentiment": 1}


ROW = {"text": "a film", "sentiment": "positive"}


@pytest.mark.parametrize(
    ("text", "raw", "message"),
    [
        (REVIEWS, {"txt": "a", "sentiment": "positive"},
         "field 'text', which prompt of {file} names, is missing: did you mean 'txt'? (fields: txt, "),
        (REVIEWS, {"text": "a"},
         "field 'sentiment', which label of {file} names, is missing (fields: text)"),
        (REVIEWS, ROW | {"sentiment": "postive"},
         "field 'sentiment' must be one of negative, positive, not 'postive' (did you mean 'positive'?): "
         "correct it, or add it to [answers] of {file}"),
        (REVIEWS, ROW | {"sentiment": None}, "must be one of negative, positive, not None"),
        (REVIEWS, ROW | {"text": "  "}, "field 'text' is empty: fill it in, or remove the row"),
        (REVIEWS, ROW | {"text": ["a"]},
         "field 'text', which prompt of {file} names, must be a text, not ['a']"),
        (QUESTIONS, {"context": "c", "question": "q", "answer": []},
         "field 'answer' must be a text or a list of texts, not []"),
        (SUMS, {"question": "q", "answer": "four"},
         "answer 'four' has no number, which metric exact_match of {file} compares"),
    ],
)  # fmt: skip
def test_an_error_of_a_row_names_the_field_and_the_file(described, tmp_path, text, raw, message):
    task = described(text)
    with pytest.raises(ValueError, match=re.escape(message.format(file=tmp_path / "reviews.toml"))):
        task.from_file(raw)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("prompt =", "promt ="), "unknown key 'promt': did you mean 'prompt'?"),
        (('"{text} It was"', "3"), "prompt must be a text, not 3"),
        (('prompt = "{text} It was"', ""), "prompt is missing"),
        (('prompt = "{text} It was"', 'prompt = ""'), "prompt is empty"),
        (("{text}", "text"), "prompt names no field"),
        (("{text}", "{text"), "a single {"),
        (("{text}", "{ }"), "a single {"),
        (("{text}", "{text} {mask}"), "prompt contains {mask}, which is for cloze"),
        (("{text}", "{text} {sentiment}"), "prompt contains {sentiment}, which is the label"),
        (('label = "sentiment"', ""), "label is missing"),
        (("[answers]", 'cloze = "{text}"\n[answers]'), "cloze must contain {mask} once, not no times"),
        (
            ("[answers]", 'inputs = ["{a}", "{b}", "{c}"]\n[answers]'),
            "inputs must hold one or two texts, not 3",
        ),
        (("[answers]", 'inputs = "{a}"\n[answers]'), "inputs must be a list of texts, not '{a}'"),
        (("[answers]", 'answer = "{a}"\n[answers]'), "answer and [answers] exclude each other"),
        (("[answers]", 'metric = "exact_match"\n[answers]'), "metric 'exact_match' is for generated answers"),
        (
            ("[answers]", 'metric = "acuracy"\n[answers]'),
            "unknown metric 'acuracy': did you mean 'accuracy'?",
        ),
        (("[answers]", "max_new_tokens = 9\n[answers]"), "max_new_tokens has no effect with [answers]"),
        (('negative = " terrible"', ""), "[answers] must have at least two classes"),
        (('" terrible"', "1"), "answer of 'negative' must be a text that is not blank, not 1"),
        (('" terrible"', '"terrible"'), "follows a word of prompt without a space: write ' terrible'"),
        (('"{text} It was"', "{text}"), "not TOML"),
        (("[answers]", "[answer]"), "answer must be a text, not {"),
    ],
)
def test_an_error_of_the_file_names_the_key_and_the_file(described, tmp_path, change, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        described(REVIEWS.replace(*change))
    assert str(caught.value).startswith(str(tmp_path / "reviews.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('prompt = "{q}"', "no answers: add label and a table [answers] of its values, or answer"),
        ('prompt = "{q}"\nanswer = "{a}"\nmetric = "f2"', "unknown metric of generated answers 'f2'"),
        ('prompt = "{q}"\nanswer = "{a}"\nlabel = "a"', "label has no effect without a table [answers]"),
        ('prompt = "{q}"\nanswer = "{a}"\ncloze = "{mask} {q}"', "cloze has no effect on generated answers"),
        ('prompt = "{q}"\nanswer = "yes"', "answer names no field"),
        ('prompt = "{q}"\nanswer = "{a}"\nmax_new_tokens = 0', "max_new_tokens"),
        ("", "prompt is missing"),
    ],
)
def test_an_error_of_a_task_with_generated_answers_names_the_key(described, text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        described(text)


def test_a_missing_file_and_a_file_that_is_not_utf8_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no such task file: nowhere\.toml"):
        tasks.load("nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe4"')
    with pytest.raises(UserError, match=r"latin\.toml is not UTF-8"):
        tasks.load(str(tmp_path / "latin.toml"))


def test_a_path_is_relative_to_the_current_folder_and_then_to_the_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", tmp_path / "repository")
    for folder in ("here", "repository"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.toml").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert registry.path("task", "here.toml").resolve() == tmp_path / "here" / "here.toml"
    assert registry.path("task", "repository.toml") == tmp_path / "repository" / "repository.toml"


def test_the_fingerprint_and_the_version_follow_what_the_file_says_but_not_its_comments(described, tmp_path):
    from benchmarks.config import fingerprint

    def prints(text):
        fingerprint._fingerprint.cache_clear()
        version = described(text).version
        return source_fingerprint(from_dict(RUN | {"task": str(tmp_path / "reviews.toml")})), version

    first = prints(REVIEWS)
    assert prints("# a comment\n" + REVIEWS.replace('"Reviews"', '"Reviews" # more')) == first
    changed = [REVIEWS.replace("great", "good"), REVIEWS.replace("Reviews", "Films")]
    for text in changed:
        source, version = prints(text)
        assert source != first[0]
        assert version != first[1]
