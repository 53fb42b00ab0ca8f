"""Task files with invalid values. The message names the file, the row, the field, and the remedy."""

import json

from tests.benchmarks.bad_input.case import ADDAX, TINY, Case, Sandbox, options

# A correct task about rows such as {"text": "fine", "label": 1}. Cases replace some of its fields.
CHOICE = {
    "title": "'Mine'",
    "version": "1",
    "prompt": "lambda row: row['text']",
    "candidates": "lambda row: [' no', ' yes']",
    "gold": "lambda row: row['label']",
    "inputs": "lambda row: (row['text'],)",
    "from_file": "lambda raw: [raw]",
}
GENERATION = CHOICE | {
    "candidates": "lambda row: []",
    "gold": "lambda row: ['Paris']",
    "answer": "lambda row: ' Paris'",
    "metric": "'f1'",
    "loss": "'teacher_forcing'",
}
# What the task does without these fields.
DEFAULTS = {"answer": "lambda row: ' yes'", "cloze": "lambda row, mask: row['text'] + mask"}
RANKING = CHOICE | {"loss": "'teacher_forcing'"}
HELPERS = '''"""A task."""
import numpy
from benchmarks.tasks import Hub, Task


def fails(error):
    raise error


'''
RUN = [*ADDAX, "--task", "mine", "--data", "{tmp}/data", *options(TINY)]
FILE = "{tmp}/repository/benchmarks/tasks/mine.py"
# The bad row is a late one: it is found although no run trains on its first rows only.
ROWS, BAD = 30, 27


def source(fields: dict[str, str]) -> str:
    """Return the text of a task file with the given fields."""
    return HELPERS + f"TASK = Task({', '.join(f'{name}={value}' for name, value in fields.items())})\n"


def write(sandbox: Sandbox, fields: dict[str, str]) -> None:
    """Write the task and its rows; only the 27th training row has the text "odd"."""
    sandbox.code("task", source(fields))
    for split, start in (("train", 0), ("validation", 100)):
        texts = ["odd" if i == BAD - 1 else f"text {i}" for i in range(start, start + ROWS)]
        lines = [json.dumps({"text": text, "label": i % 2}) for i, text in enumerate(texts)]
        sandbox.write(f"data/mine/{split}.jsonl", "\n".join(lines))


def value(
    field: str, code: str, *expected: str, base: dict[str, str] = CHOICE, argv: list[str] = RUN
) -> Case:
    """Build a case from a function of the task that returns the value of `code` for one late row only."""
    usual = base.get(field) or DEFAULTS[field]
    changed = f"lambda row, *mask: ({code}) if row['text'] == 'odd' else ({usual})(row, *mask)"
    return Case(
        f"{field} returns {code}",
        argv,
        (f"{{tmp}}/data/mine/train.jsonl, line {BAD}: {field} of task mine ({FILE}", *expected),
        lambda sandbox: write(sandbox, base | {field: changed}),
    )


def converted(code: str, *expected: str) -> Case:
    """Build a case from a value of `from_file`, for one late row only."""
    changed = f"lambda raw: ({code}) if raw['text'] == 'odd' else [raw]"
    return Case(
        f"from_file returns {code}",
        RUN,
        (f"{{tmp}}/data/mine/train.jsonl, line {BAD}: ", *expected),
        lambda sandbox: write(sandbox, CHOICE | {"from_file": changed}),
    )


def generated(code: str, *expected: str) -> Case:
    """Build a case from a value of `generate`."""
    return Case(
        f"generate returns {code}",
        [*ADDAX, "--task", "mine", *options(TINY)],
        ("built-in rows: ", f"task mine ({FILE}", *expected),
        lambda sandbox: write(sandbox, CHOICE | {"generate": f"lambda rng: {code}"}),
    )


def field(name: str, code: str, *expected: str, base: dict[str, str] = CHOICE) -> Case:
    """Build a case from a field of the task."""
    return Case(
        f"{name}={code} of a task",
        RUN,
        (f"{FILE}: ", name, *expected),
        lambda sandbox: write(sandbox, base | {name: code}),
    )


def unstable(field: str, code: str, *expected: str) -> Case:
    """Build a case from a function that does not depend on its row alone."""
    return Case(
        f"{field} is {code}",
        RUN,
        (f"of task mine ({FILE})", *expected),
        lambda sandbox: write(sandbox, CHOICE | {field: code}),
    )


HEAD = [*RUN, *options("head=classification")]
SHOTS = [*ADDAX, "--task", "mine", "--data", "{tmp}/data", *options("shots=2")]
THIRD_IN_HALF = "lambda row: [' no', ' yes'] + [' maybe'] * row['label']"
PAIR_IN_HALF = "lambda row: (row['text'],) * (1 + row['label'])"
NUMBERS = GENERATION | {"metric": "'exact_match'", "gold": "lambda row: ['7']"}
CASES = [
    value("prompt", "None", "must return a text, not None"),
    value("prompt", "b'text'", "must return a text, not the bytes b'text'"),
    value("prompt", "'\\ud83d'", "returned a lone surrogate ('\\ud83d', half a character): remove it"),
    value("prompt", "row['nothing']", ", line 10) raised KeyError: 'nothing'"),
    value("prompt", "1 / 0", ", line 10) raised ZeroDivisionError: division by zero"),
    value("prompt", "fails(AssertionError)", ", line 7) raised AssertionError"),
    value("prompt", "fails(ValueError('two\\nlines'))", "raised ValueError: two"),
    value("inputs", "row['text']", "a tuple of one or two texts, not the str 'odd'; write (text,)"),
    value("inputs", "[row['text']]", "not the list ['odd']; write tuple(...)"),
    value("inputs", "('a', 'b', 'c')", "must return one or two texts, not 3; join them"),
    value("inputs", "()", "must return one or two texts, not 0"),
    value("inputs", "('a', 3)", "a tuple of texts, not of the int 3; write str(...)"),
    value("inputs", "(None,)", "a tuple of texts, not of None"),
    value("inputs", "(' ', '')", "a text that is not blank, not the tuple (' ', '')"),
    value("gold", "'1'", "must return the index of a candidate as an int, not the str '1'"),
    value("gold", "' yes'", "not the str ' yes'"),
    value("gold", "True", "not the bool True; write int(...)"),
    value("gold", "numpy.int64(1)", "as an int, not the int64", "; write int(...)"),
    value("gold", "1.0", "not the float 1.0; write int(...)"),
    value("gold", "None", "not None"),
    value("gold", "2", "must return the index of a candidate, from 0 to 1, not 2"),
    value("gold", "-1", "from 0 to 1, not -1"),
    value("gold", "10**30", "from 0 to 1, not 1000000"),
    value("gold", "[0, 1]", "one index with loss='classification'", "set loss='teacher_forcing'"),
    value("gold", "[1]", "one index with loss='classification', not the list [1]"),
    value("gold", "[]", "at least one index, not []: leave out rows", base=RANKING),
    value("gold", "[0, 2]", "from 0 to 1, not 2", base=RANKING),
    value("gold", "[0, '1']", "as an int, not the str '1'", base=RANKING),
    value("gold", "[True]", "not the bool True", base=RANKING),
    value("gold", "[1, 1]", "different indices, not the list [1, 1]", base=RANKING),
    value("gold", "(0, 1)", "not the tuple (0, 1)", base=RANKING),
    value("gold", "{0}", "not the set {0}", base=RANKING),
    value("gold", "'Paris'", "a list of answer texts", "the str 'Paris'; write [answer]", base=GENERATION),
    value("gold", "('Paris',)", "a list of answer texts", "not the tuple ('Paris',)", base=GENERATION),
    value("gold", "[]", "at least one answer text, not []", base=GENERATION),
    value("gold", "['Paris', 7]", "not of the int 7; write str(...)", base=GENERATION),
    value("gold", "0", "a list of answer texts", "not the int 0", base=GENERATION),
    value("gold", "['Paris', ' ']", "answer texts that are not blank", base=GENERATION),
    value("gold", "['Paris \\ud83d']", "lone surrogate", base=GENERATION),
    value("gold", "['1,050']", "plain numbers with metric='exact_match', not the str '1,050'; write '1050'",
          base=NUMBERS),
    value("gold", "['seven']", "plain numbers with metric='exact_match', not the str 'seven'",
          base=NUMBERS),
    value("candidates", "'yes'", "must return a list of texts, not the str 'yes'"),
    value("candidates", "(' no', ' yes')", "not the tuple (' no', ' yes')"),
    value("candidates", "(c for c in 'ab')", "a list of texts, not the generator"),
    value("candidates", "{' no': 0, ' yes': 1}", "a list of texts, not the dict"),
    value("candidates", "[' no', '']", "not blank, not the list [' no', '']"),
    value("candidates", "[' no', ' \\n']", "not blank"),
    value("candidates", "[0, 1]", "a list of texts, not of the int 0; write str(...)"),
    value("candidates", "[' no', None]", "a list of texts, not of None"),
    value("candidates", "[' yes', ' yes']", "'yes' is there twice"),
    value("candidates", "['yes', ' yes']", "'yes' is there twice (spaces do not count)"),
    value("candidates", "[' yes']", "at least 2 texts with loss='classification'"),
    value("candidates", "[]", "at least 2 texts with loss='classification', not the list []"),
    value("candidates", "[]", "at least 1 texts with loss='teacher_forcing'", base=RANKING),
    value("candidates", "[' Paris']", "must return [] with metric='f1'", base=GENERATION),
    value("candidates", "None", "a list of texts, not None"),
    value("answer", "None", "must return a text, not None", base=GENERATION),
    value("answer", "['Paris']", "must return a text, not the list ['Paris']", base=GENERATION),
    value("answer", "'\\n'", "a text that is not blank", base=GENERATION),
    value("answer", "0", "must return a text, not the int 0", base=RANKING),
    value("cloze", "'no mask'", "the mask that it is given exactly once, not no times"),
    value("cloze", "mask[0] + mask[0]", "exactly once, not 2 times"),
    value("cloze", "mask", "must return a text, not the tuple"),
    converted("None", "from_file of task mine", "must return a list of rows, not None; write [row]"),
    converted("raw", "must return a list of rows, not the dict", "write [row]"),
    converted("'row'", "must return a list of rows, not the str 'row'"),
    converted("7", "must return a list of rows, not the int 7"),
    converted("[raw, None]", "must return rows that are dictionaries, not None"),
    converted("(row for row in [raw, 'x'])", "rows that are dictionaries, not the str 'x'"),
    converted("fails(AssertionError)", "from_file of task mine (", ", line 7) raised AssertionError"),
    converted("1 / 0", ", line 10) raised ZeroDivisionError: division by zero"),
    converted("(1 / 0 for _ in 'x')", ", line 10) raised ZeroDivisionError: division by zero"),
    converted("fails(ValueError('label is bad\\nand more'))", f"line {BAD}: label is bad"),
    converted("fails(ValueError())", "from_file rejects this row"),
    converted("[raw | {'label': 5}]", "gold of task mine", "from 0 to 1, not 5"),
    converted("[raw | {'words': {'a'}}]", "without a JSON form in field 'words' (the set {'a'})"),
    converted("[raw | {'weight': float('nan')}]", "without a JSON form in field 'weight' (the float nan)"),
    converted("[raw | {'data': b'x'}]", "in field 'data' (the bytes b'x')"),
    converted("[raw | {'data': numpy.int64(1)}]", "in field 'data'"),
    converted("[raw | {7: 1}]", "names that are texts, not the int 7"),
    generated("None", "generate of", "must return one row, a dictionary, not None"),
    generated("[{'text': 'x', 'label': 0}]", "must return one row, a dictionary, not the list"),
    generated("1 / 0", "raised ZeroDivisionError: division by zero"),
    generated("{'text': 'x', 'label': {0}}", "without a JSON form in field 'label' (the set {0})"),
    generated("{'text': 'x'}", "gold of task mine", "raised KeyError: 'label'"),
    generated("{'text': str(rng.random()), 'label': 7}", "gold of task mine", "from 0 to 1, not 7"),
    unstable("prompt", "lambda row: str(numpy.random.rand())", "prompt of", "two different values"),
    unstable("gold", "lambda row: int(numpy.random.rand() * 2)", "gold of", "two different values"),
    unstable("prompt", "lambda row: [row.update(seen=1), 'x'][1]", "changes the row"),
    Case(
        "a number of candidates that differs, with a classification head",
        HEAD,
        ("mine: a classification head needs the same number of classes in every row", "2 to 3", "head=lm"),
        lambda sandbox: write(sandbox, CHOICE | {"candidates": THIRD_IN_HALF}),
    ),
    Case(
        "a number of inputs that differs, with a classification head",
        HEAD,
        ("needs the same number of texts in every row, but inputs returns 1 to 2", "use head=lm"),
        lambda sandbox: write(sandbox, CHOICE | {"inputs": PAIR_IN_HALF}),
    ),
    Case(
        "a number of candidates that differs, with shots",
        SHOTS,
        ("task mine: shots needs the same number of candidates in every row", "do not set shots"),
        lambda sandbox: write(sandbox, CHOICE | {"candidates": THIRD_IN_HALF}),
    ),
    field("metric", "'mcc'", "unknown metric 'mcc'", "accuracy, class_f1, exact_match, f1, matthews"),
    field("metric", "'acuracy'", "did you mean 'accuracy'?"),
    field("metric", "max", "unknown metric"),
    field("loss", "'cross_entropy'", "unknown loss 'cross_entropy'", "classification, teacher_forcing"),
    field("prompt", "'{text}'", "must be a function, not '{text}'; write prompt=lambda row: ..."),
    field("candidates", "[' no', ' yes']", "must be a function, not [' no', ' yes']"),
    field("inputs", "None", "must be a function, not None"),
    field("answer", "' yes'", "must be a function", base=RANKING),
    field("cloze", "'{} [MASK]'", "must be a function"),
    field("generate", "[]", "must be a function, not []"),
    field("title", "''", "must be a text, not ''"),
    field("version", "'1'", "must be a whole number of at least 1, not '1'"),
    field("version", "0", "at least 1, not 0"),
    field("generator_version", "'1'", "must be a whole number of at least 1, not '1'"),
    field("generator_version", "True", "must be a whole number of at least 1, not True"),
    field("generator_version", "2", "generator_version has no effect without generate"),
    field("max_new_tokens", "0", "at least 1, not 0", base=GENERATION),
    field("metric", "'matthews'", "compares classes: set loss='classification'", base=RANKING),
    field("max_new_tokens", "9", "has no effect with metric='accuracy'"),
    field("hub", "'me/mine'", "must be a Hub, not 'me/mine'", base=CHOICE | {"from_hub": "list"}),
    field("rows_of", "'sts2'", "unknown task 'sts2'", "did you mean 'sst2'?"),
    field("rows_of", "'mine'", "unknown task 'mine'"),
    field("answer", "lambda row: 'x'", "has no effect with loss='classification'"),
    field("metric", "'f1'", "'f1' is for generated answers: set loss='teacher_forcing'"),
    field("metric", "'f1'", "'f1' needs answer", base=RANKING),
]  # fmt: skip
