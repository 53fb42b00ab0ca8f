"""Tests that fingerprints ignore prose, and that a study's fingerprint covers only the code that measures."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks.config import fingerprint
from benchmarks.config.fingerprint import code_of, modules_of, study_fingerprint
from benchmarks.registry import ROOT

PROSE = '''"""A module."""

# Why.
def f(x):  # what
    """Return x.

    In two lines.
    """
    return (
        x
        # and one more
        + 1
    )


class A:
    a: int = 1
    """An attribute."""
'''
CODE = """def f(x):
    return (
        x
        + 1
    )
class A:
    a: int = 1"""


def test_comments_docstrings_and_blank_lines_do_not_count():
    assert code_of(PROSE.encode()) == CODE
    assert code_of(CODE.encode()) == CODE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 2"),
        ("if x:\n    y()\n    z()", "if x:\n    y()\nz()"),
        ('x = """a\n\nb"""', 'x = """a\nb"""'),
        ("x = '# a'", "x = '# b'"),
        ("x = f'{a} # b'", "x = f'{a} # c'"),
        ("x = f'{{a}}'", "x = f'{a}'"),
        ("f('a')", "f('b')"),
        ("x = [\n    'a',\n    'b',\n]", "x = [\n    'a'\n    'b',\n]"),
    ],
)
def test_every_other_change_counts(before, after):
    assert code_of(before.encode()) != code_of(after.encode())


def is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def tree(source):
    """Return the syntax tree of a source as text, without docstrings."""
    parsed = ast.parse(source or "pass")
    for node in ast.walk(parsed):
        for name in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, name, None), list) and block:
                setattr(node, name, [line for line in block if not is_text(line)] or [ast.Pass()])
    return ast.dump(parsed)


def test_the_code_of_every_file_has_the_syntax_tree_of_the_file():
    for file in modules_of(ROOT / fingerprint.ENTRY):
        source = file.read_text(encoding="utf-8")
        code = code_of(source.encode())
        # Give a class or function whose body was only a docstring a body again.
        code = re.sub(r"^( *)((?:def|class) [^\n]*:)(?=\n(?!\1 )|\Z)", r"\1\2\n\1    pass", code, flags=re.M)
        assert tree(code) == tree(source), file


def forget():
    """Clear the caches of file contents, so that files are read again."""
    fingerprint._digest.cache_clear()
    study_fingerprint.cache_clear()


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("benchmarks/studies/step_speed.py", True),
        ("addax/spsa.py", True),
        ("benchmarks/results/row.py", False),
        ("benchmarks/report/tables.py", False),
    ],
)
def test_a_study_follows_the_code_that_measures(monkeypatch, file, counts):
    before, read = study_fingerprint("step-speed"), Path.read_bytes
    forget()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(path) + b"pass\n" * (path == ROOT / file))
        changed = study_fingerprint("step-speed") != before
    forget()
    assert changed == counts
