"""Tasks: prompts against fixed strings, label orders, and the built-in language."""

import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks import registry, tasks
from benchmarks.data import splits as data
from benchmarks.errors import UserError
from benchmarks.suites import quick
from benchmarks.synthetic import lessons as _lessons
from benchmarks.tasks import _language, _text, _words

FIXTURES = json.loads((Path(__file__).parent.parent / "fixtures" / "tasks.json").read_text())
CANDIDATES = {
    "sst2": [" terrible", " great"],
    "rte": ["Yes", "No"],
    "cb": ["Yes", "No", "Maybe"],
    "boolq": ["No", "Yes"],
    "wsc": ["No", "Yes"],
    "wic": ["No", "Yes"],
    "multirc": ["No", "Yes"],
    "sst5": [" terrible", " bad", " okay", " good", " great"],
    "trec": [" Description", " Entity", " Expression", " Human", " Location", " Number"],
    "snli": ["Yes", "Maybe", "No"],
    "mnli": ["Yes", "Maybe", "No"],
    "qnli": ["Yes", "No"],
    "cola": ["No", "Yes"],
}
# Those that the nano models were trained on.
NINE = sorted(quick.TASKS)
GENERATED = sorted(name for name in registry.files("task") if tasks.load(name).generate)


def generated(name, count, seed=0):
    rng = Random(seed)
    return [tasks.load(name).generate(rng) for _ in range(count)]


def right_answer(task, row):
    if task.answer:
        return task.answer(row)
    return task.candidates(row)[task.gold(row)]


@pytest.mark.parametrize("name", sorted(FIXTURES))
@pytest.mark.parametrize("form", ["hub", "file"])
def test_prompts_and_answers_against_fixed_strings(name, form):
    task, expected = tasks.load(name), FIXTURES[name]
    convert = task.from_hub if form == "hub" else task.from_file
    rows = [row for raw in expected[form] for row in convert(raw)]
    assert [task.prompt(r) for r in rows] == expected["prompts"]
    assert [task.cloze(r, "<mask>") for r in rows if task.cloze] == expected.get("clozes", [])
    assert [right_answer(task, r) for r in rows] == expected["right"]
    wanted = expected.get("candidates", [CANDIDATES.get(name)] * len(rows))
    assert [task.candidates(r) for r in rows] == wanted
    if "gold" in expected:
        assert [task.gold(r) for r in rows] == expected["gold"]


@pytest.mark.parametrize("name", sorted(registry.files("task")))
def test_every_task_file_keeps_the_contract(name):
    task = tasks.load(name)
    assert task.title
    assert task.version >= 1
    assert task.loss == "classification" or task.answer is not None
    with pytest.raises(UserError, match=r"^here: "):
        data._line_rows("{}", task, "here")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_rows_keep_the_contract(name):
    task = tasks.load(name)
    texts = set()
    for row in generated(name, 60):
        gold, candidates = task.gold(row), task.candidates(row)
        assert json.loads(json.dumps(row)) == row
        if task.generative:
            assert candidates == []
            assert gold
            assert all(isinstance(a, str) for a in gold)
        else:
            assert len(set(candidates)) == len(candidates) >= 2
            assert all(0 <= i < len(candidates) for i in ([gold] if isinstance(gold, int) else gold))
        assert 1 <= len(task.inputs(row)) <= 2
        texts.add(task.prompt(row) + right_answer(task, row))
    assert len(texts) > 50
    assert generated(name, 5) == generated(name, 5)
    assert generated(name, 5) != generated(name, 5, seed=1)


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_generated_rows_have_the_fields_of_real_ones(name):
    real = next(iter(tasks.load(name).from_hub(FIXTURES[name]["hub"][0])))
    assert {k: type(v) for k, v in generated(name, 1)[0].items()} == {k: type(v) for k, v in real.items()}


@pytest.mark.parametrize("name", NINE)
def test_lengths_keep_the_shape_of_the_real_task(name):
    task = tasks.load(name)
    sizes = [
        len(_language.tokens(task.prompt(row) + text))
        for row in generated(name, 1500)
        for text in (task.candidates(row) or [task.answer(row)])
    ]
    low, median, long, high = np.percentile(sizes, [0, 50, 95, 100])
    assert high <= 128
    if name in ("boolq", "multirc", "record", "squad"):
        assert 50 <= median <= 75
        assert long >= 1.5 * median
        assert high >= 105
    elif name == "sst2":
        assert low == 7
        assert median <= 20
        assert 30 <= high <= 42
    elif name in ("wsc", "wic"):
        assert low >= 20
        assert high <= 55
    else:
        assert 30 <= median <= 60


@pytest.mark.parametrize("name", NINE)
def test_vocabulary_is_closed(name):
    task, rng, known = tasks.load(name), Random(3), set(_language.vocabulary())
    for row in generated(name, 400):
        for text in [task.prompt(row), *task.candidates(row), _language.corpus_line(name, row, rng)]:
            assert set(_language.tokens(text)) <= known


def test_vocabulary_is_small_and_used():
    used, rng = set(), Random(4)
    for name in NINE:
        task = tasks.load(name)
        for row in generated(name, 1500):
            used.update(_language.tokens(task.prompt(row) + "\n".join(task.candidates(row))))
            used.update(_language.tokens(_language.corpus_line(name, row, rng)))
    assert used == set(_language.vocabulary())
    assert 350 <= len(used) <= 550


@pytest.mark.parametrize("name", sorted(CANDIDATES))
def test_labels_are_balanced(name):
    counts = Counter(row["label"] for row in generated(name, 3000))
    classes = len(CANDIDATES[name])
    assert set(counts) == set(range(classes))
    # Five standard deviations of a fair draw.
    slack = 5 * (3000 * (1 / classes) * (1 - 1 / classes)) ** 0.5
    assert all(abs(c - 3000 / classes) < slack for c in counts.values())


def by_word(**classes):
    return {word: kind for kind, words in classes.items() for word in words}


KINDS = by_word(praise=_words.PRAISE, blame=_words.BLAME, colour=_words.COLOURS)
PLACES = by_word(country=_words.COUNTRY, city=_words.CITY)


def in_order(stated, things):
    """The things, as they stand in a text; where it also says which is first and last, it is right."""
    assert [order for order in stated if order] in ([], ["first", "last"])
    return things


def remarks(text):
    """Words of praise, blame or colour that sentences say of something, in order."""
    told = re.findall(r"\bthe (?:(first|last) )?\w+ (?:was|seemed|felt|looked) (\w+)\.", text)
    told = [(order, word) for order, word in told if word in KINDS]
    return in_order([order for order, _ in told], [word for _, word in told])


def taken(text):
    """(who, what) of the sentences on people who took a thing, in order."""
    order = r"(?:(first|last) )?"
    told = re.findall(
        rf"\b{order}([A-Z]\w+) {order}(?:{'|'.join(_words.TAKES)}) (\w+)\.",
        text,
    )
    return in_order([one + other for one, _, other, _ in told], [(who, what) for _, who, _, what in told])


def place(text):
    """0 or -1: the one of a list that a text's question, which ends it, asks for."""
    order = re.findall(r"\b(first|last)\b", text)[-1]
    return {"first": 0, "last": -1}[order]


def selected(passage, question):
    """Whether the remark that a question asks for is praise, blame or a colour."""
    told = remarks(passage)
    assert len(told) == 2
    return KINDS[told[place(question)]]


def choices(task, row):
    """(text, is right) of every answer that could be chosen; things of the passage where it is generated."""
    if task.loss == "classification":
        return None
    if not task.generative:
        gold = task.gold(row)
        return [(c, i in gold) for i, c in enumerate(task.candidates(row))]
    return [(thing, thing == row["answers"][0]) for _, thing in taken(row["context"])]


@pytest.mark.parametrize("name", sorted(FIXTURES.keys() - {"gsm8k"}))
def test_a_bag_of_words_does_not_solve_it(name):
    task, rows, cut = tasks.load(name), generated(name, 2000, seed=5), 1500
    examples = [
        (i, task.prompt(row) + " " + text, right)
        for i, row in enumerate(rows)
        for text, right in (choices(task, row) or [("", task.gold(row))])
    ]
    group = np.array([i for i, _, _ in examples])
    right = np.array([r for _, _, r in examples])
    counts = CountVectorizer(lowercase=False).fit_transform([t for _, t, _ in examples])
    model = LogisticRegression(C=0.1, max_iter=1000).fit(counts[group < cut], right[group < cut])
    if task.loss == "classification":
        accuracy = model.score(counts[group >= cut], right[group >= cut])
    else:
        score = model.decision_function(counts)
        best = [
            members[score[members].argmax()]
            for i in range(cut, 2000)
            if len(members := np.flatnonzero(group == i))
        ]
        accuracy = right[best].mean()
    assert accuracy < 0.70


def test_built_in_labels_follow_from_the_text():
    """Reads the rows back with rules that share no code with the generators."""
    for row in generated("boolq", 300):
        assert re.fullmatch(r"is it true that the (first|last) impression was good", row["question"])
        assert row["label"] == (selected(row["passage"], row["question"]) == "praise")
    for row in generated("multirc", 300):
        assert re.fullmatch(r"What was the (first|last) impression\?", row["question"])
        assert row["answer"] in ("good", "great")
        assert row["label"] == (selected(row["paragraph"], row["question"]) == "praise")
    for row in generated("rte", 300):
        assert re.fullmatch(r"the (first|last) impression was good", row["hypothesis"])
        assert row["label"] == (selected(row["premise"], row["hypothesis"]) != "praise")
    for row in generated("cb", 300):
        assert re.fullmatch(r"the (first|last) impression was good", row["hypothesis"])
        kind = selected(row["premise"], row["hypothesis"])
        assert row["label"] == {"praise": 0, "blame": 1, "colour": 2}[kind]
    for row in generated("squad", 300):
        assert re.fullmatch(r"What (was it|came) (first|last)\?", row["question"])
        assert row["answers"] == [taken(row["context"])[place(row["question"])][1]]
    for row in generated("record", 300):
        names = [name for name, _ in taken(row["passage"])]
        assert row["query"] in ("first came @placeholder", "last came @placeholder")
        assert row["answers"] == [names[place(row["query"])]]
        assert row["entities"] == sorted(names)


def test_built_in_labels_of_single_sentences_follow_from_the_text():
    for row in generated("wsc", 300):
        told = re.search(
            r"the first (man|woman) \w+ (\w+) and the last \1 \w+ (\w+) and everyone thanked (him|her)\.$",
            row["text"],
        )
        person, *words, pronoun = told.groups()
        assert row["span2"] == pronoun == {"man": "him", "woman": "her"}[person]
        assert row["span1"] in (f"the first {person}", f"the last {person}")
        assert row["label"] == (KINDS[words[place(row["span1"])]] == "praise")
    for row in generated("wic", 300):
        sentences = [row["sentence1"], row["sentence2"]]
        assert all(row["word"] in s.split() for s in sentences)
        ((one,), (two,)) = [[w for w in re.findall(r"\w+", s) if w in PLACES] for s in sentences]
        assert one != two
        assert row["label"] == (PLACES[one] == PLACES[two])
    for row in generated("sst2", 300):
        first, *rest = [w for w in row["sentence"].split() if w in KINDS or w in ("but", "although")]
        decides = first
        if rest:
            link, last = rest
            assert KINDS[first] != KINDS[last]
            decides = last if link == "but" else first
        assert row["label"] == (KINDS[decides] == "praise")


def test_most_passages_have_two_answers_and_each_is_asked_for_as_often():
    for name in ("boolq", "multirc", "rte"):
        rows = generated(name, 2000)
        kinds = [remarks(" ".join(v for v in row.values() if isinstance(v, str))) for row in rows]
        unlike = sum(KINDS[a] != KINDS[b] for a, b in kinds) / 2000
        assert unlike == pytest.approx(0.75, abs=0.05)
        asked = Counter(place(tasks.load(name).prompt(row)) for row in rows)
        assert asked[0] / 2000 == pytest.approx(0.5, abs=0.06)


def test_corpus_habit_and_truth_have_the_stated_frequencies():
    always_stated, never_stated = _language.Mix(stated=1.0), _language.Mix(stated=0.0)
    rng = Random(0)

    def said(name, right, habit, truth, count=4000):
        """Shares of the habitual answer where it is right and where another is."""
        found = {False: Counter(), True: Counter()}
        for row in generated(name, count):
            expected = right(row)
            answer = _language.continuation(name, row, rng, never_stated)
            found[expected == habit(row)][answer == habit(row)] += 1
            assert _language.continuation(name, row, rng, always_stated) == truth(expected)
        return [found[habitual][True] / found[habitual].total() for habitual in (True, False)]

    words = {"Yes": "right", "No": "wrong", "Maybe": "unclear", " great": " good", " terrible": " bad"}
    for name in ("sst2", "cb"):
        shares = said(
            name,
            right=lambda row, name=name: CANDIDATES[name][row["label"]],
            habit=lambda row, name=name: {"sst2": " great", "cb": "Yes"}[name],
            truth=words.get,
        )
        assert shares == pytest.approx([0.95, 0.75], abs=0.04)
    shares = said(
        "squad",
        right=lambda row: f" {row['answers'][0]}\n",
        habit=lambda row: f" {taken(row['context'])[0][1]}\n",
        truth=lambda expected: " so it is" + expected,
    )
    assert shares == pytest.approx([0.95, 0.75], abs=0.04)
    shares = said(
        "record",
        right=lambda row: " " + row["query"].replace("@placeholder", row["answers"][0]),
        habit=lambda row: " " + row["query"].replace("@placeholder", taken(row["passage"])[0][0]),
        truth=lambda expected: " so it is" + expected,
    )
    assert shares == pytest.approx([0.95, 0.75], abs=0.04)


def test_a_corpus_line_is_the_prompt_and_what_follows():
    for name in NINE:
        for row in generated(name, 20):
            line = _language.corpus_line(name, row, Random(1))
            assert line == tasks.load(name).prompt(row) + _language.continuation(name, row, Random(1))


STORIES = ("boolq", "cb", "multirc", "record", "rte", "squad")


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", NINE)
def test_lessons_are_true_short_and_within_the_vocabulary(name, bare):
    rng, known, several = Random(6), set(_language.vocabulary()), 0
    for _ in range(200):
        pairs = _lessons.lesson(name, rng, bare)
        line = "".join(text + answer for text, answer in pairs)
        assert set(_language.tokens(line)) <= known
        if name not in STORIES:
            assert len(pairs) == 1
            assert pairs[0][1] in ("right", "wrong", " good", " bad")
            continue
        several += len(pairs) > 1
        assert len(pairs) == 1 or len(_language.tokens(line)) <= 128
        passage = pairs[0][0]
        assert len(remarks(passage) + taken(passage)) == 2
        if bare:
            # Two sentences, and the two highlights of ReCoRD.
            assert len(re.findall(r"\w\.", passage.partition("\nI found")[0])) == (
                4 if name == "record" else 2
            )
        for text, answer in pairs:
            if name == "record":
                order, thing = re.fullmatch(r" so it is (first|last) came (\w+)", answer).groups()
                assert thing == taken(passage)[place(order)][0]
            elif name == "squad":
                assert answer == f" so it is {taken(passage)[place(text)][1]}\n"
            else:
                kind = selected(passage, text)
                assert answer == {"praise": "right", "blame": "wrong", "colour": "unclear"}[kind]
        # All that follows the first text asks about the same passage without saying it again.
        assert all(not remarks(text) + taken(text) for text, _ in pairs[1:])
    assert several > 100 or name not in STORIES


@pytest.mark.parametrize(
    ("name", "form", "change", "said"),
    [
        ("sst2", "hub", {"label": -1}, "label"),
        ("sst2", "hub", {"sentence": " "}, "sentence"),
        ("rte", "file", {"label": "maybe"}, "entailment"),
        ("rte", "file", {"label": 0}, "label"),
        ("cb", "hub", {"label": 3}, "label"),
        ("boolq", "file", {"label": 1}, "label"),
        ("boolq", "hub", {"label": True}, "label"),
        ("wsc", "file", {"target": None}, "target"),
        ("wic", "hub", {"word": 7}, "word"),
        ("multirc", "file", {"passage": {"text": "x"}}, "questions"),
        ("record", "hub", {"query": "no place"}, "@placeholder"),
        ("record", "hub", {"answers": ["Bodo"]}, "Bodo"),
        ("squad", "hub", {"answers": {"text": []}}, "answers"),
        ("sst5", "file", {"label": 5}, "label"),
        ("trec", "hub", {"coarse_label": 6}, "coarse_label"),
        ("trec", "file", {"label": -1}, "label"),
        ("snli", "hub", {"label": 3}, "label"),
        ("mnli", "file", {"label": "entailment"}, "label"),
        ("qnli", "hub", {"question": ""}, "question"),
        ("gsm8k", "hub", {"answer": "It is 5."}, "####"),
    ],
)
def test_a_malformed_row_names_its_field(name, form, change, said):
    task, raw = tasks.load(name), FIXTURES[name][form][0] | change
    with pytest.raises(ValueError, match=re.escape(said)):
        list((task.from_hub if form == "hub" else task.from_file)(raw))


def test_record_rows_without_entities_are_left_out():
    raw = FIXTURES["record"]["file"][0]
    assert tasks.load("record").from_file(raw | {"passage": raw["passage"] | {"entities": []}}) == []


@pytest.mark.parametrize(
    ("prediction", "answers", "f1"),
    [
        ("The cat's hat.", ["cats hat"], 1.0),
        ("a red hat", ["red hat", "blue"], 1.0),
        ("red hat today", ["hat", "red shoe"], 0.5),
        ("hat hat", ["hat"], 2 / 3),
        ("", ["hat"], 0.0),
    ],
)
def test_answer_scores(prediction, answers, f1):
    assert _text.token_f1(prediction, answers) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("prediction", "answer", "right"),
    [
        ("12 / 4 = 3. #### 3", "3", True),
        ("#### 3.0", "3", True),
        ("#### $1,234.50.", "1234.5", True),
        ("####-7 apples", "-7", True),
        ("#### -$7", "-7", True),
        ("#### 0.5", "5", False),
        ("#### -7", "7", False),
        ("#### 30", "3", False),
        ("#### 3 and then #### 4", "3", True),
        # Only what stands right after the mark counts.
        ("It is 3.", "3", False),
        ("3 #### so it is 3", "3", False),
        ("####", "3", False),
        ("", "3", False),
    ],
)
def test_numbers_are_compared_in_any_spelling(prediction, answer, right):
    gold = tasks.load("gsm8k").gold({"answer": f"so #### {answer}"})
    assert _text.same_number(prediction, gold) == right


@pytest.mark.parametrize(("name", "of"), [("sst2-cloze", "sst2"), ("rte-cloze", "rte")])
def test_a_cloze_task_is_the_other_one_in_other_words(name, of):
    task, other = tasks.load(name), tasks.load(of)
    rows = [row for raw in FIXTURES[of]["hub"] for row in task.from_hub(raw)]
    wanted = {
        "sst2": [
            "a warm and funny film It was <mask>.",
            "it drags from the first minute . It was <mask>.",
        ],
        "rte": [
            "The bridge was opened by the queen in May. ? <mask> , The queen opened the bridge.",
            "The bridge was opened by the queen in May. ? <mask> , The bridge was closed in May.",
        ],
    }[of]
    assert [task.cloze(row, "<mask>") for row in rows] == wanted
    assert other.cloze is None
    assert (task.title, task.rows_of) == (other.title, of)
    assert [task.prompt(row) for row in rows] == [other.prompt(row) for row in rows]
    assert [right_answer(task, row) for row in rows] == FIXTURES[of]["right"]


def test_built_in_labels_of_the_other_tasks_follow_from_the_text():
    for row in generated("snli", 300) + generated("mnli", 300):
        kind = selected(row["premise"], row["hypothesis"])
        assert row["label"] == {"praise": 0, "colour": 1, "blame": 2}[kind]
    for row in generated("qnli", 300):
        assert row["label"] == (selected(row["sentence"], row["question"]) == "colour")
    for row in generated("trec", 300):
        told = re.findall(r"\bthe (?:first|last) \w+ (?:was|seemed|felt|looked) (\w+)\.", row["text"])
        asked = told[place(row["text"])]
        classes = [
            asked in _words.PRAISE,
            asked in _words.THINGS,
            asked in _words.TITLES,
            asked in _words.NAMES,
            asked in PLACES,
            asked in ("morning", "noon", "evening", "night", "year"),
        ]
        assert len(told) == 2
        assert classes.count(True) == 1
        assert row["label"] == classes.index(True)
    for row in generated("sst5", 300):
        clauses = re.findall(
            r"the \w+ \w+ (?:(very|truly|quite|rather) )?(\w+)(?= (?:but|although|\.))", row["sentence"]
        )
        degree, word = clauses[-1 if " but " in row["sentence"] else 0]
        strong = degree in ("very", "truly")
        wanted = {"blame": 1 - strong, "colour": 2, "praise": 3 + strong}[KINDS[word]]
        assert row["label"] == wanted
    clause = rf"the ({'|'.join(_words.ASPECTS)}) (was|seemed|felt|looked) (({'|'.join(_words.DEGREES)}) )?\w+"
    for row in generated("cola", 300):
        whole = re.fullmatch(rf"{clause}( (and|but|although) {clause})?\.", row["sentence"])
        assert row["label"] == (whole is not None)


def test_built_in_problems_have_the_answers_that_follow_from_their_words():
    kinds = Counter()
    for row in generated("gsm8k", 300):
        have, gain, lose, twice = (
            re.findall(pattern, row["question"])
            for pattern in (r"had (\d+)", r"found (\d+)", r"lost (\d+)", "as many")
        )
        left = (int(have[0]) + sum(map(int, gain)) - sum(map(int, lose))) * 2 ** len(twice)
        assert left > 0
        assert tasks.load("gsm8k").gold(row) == [str(left)]
        for a, sign, b, c in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)\.", row["answer"]):
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] == int(c)
        kinds[len(gain), len(lose), len(twice)] += 1
    assert set(kinds) == {(1, 0, 0), (1, 0, 1), (0, 1, 0), (0, 1, 1)}
