"""Paths in source code: the existing files and folders that its texts may name."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks import registry

# The longest text that can name a file, and the largest number of files of a folder that a text names.
LONGEST, MANY = 255, 1_000
JOINS = ("join", "joinpath", "Path", "PurePath", "with_name", "files")


def named(tree: ast.AST, file: Path) -> set[Path]:
    """Return the existing files that a source file may name.

    Texts are joined as the code joins them (`/`, `os.path.join`, `joinpath`, `+`), and unknown parts of an
    f-string match anything. A path is relative to the folder of the source file, to a folder above it in the
    repository, or to the working directory; a bare word without a dot only to the first. A folder stands for
    all of its files.

    Args:
        tree: the parsed source.
        file: its file.
    """
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if (text := _text(value, known)) is not None:
                    known[name] = text
    patterns = {
        # A wildcard for several folders is only valid alone, as in "**/words.txt".
        re.sub(r"(?<![/*])\*{2,}|(?<=\*)\*+(?=[^/*])", "*", text)
        for node in ast.walk(tree)
        if (text := _text(node, known)) is not None
    }
    bases = _bases(file)
    return {path for text in patterns for path in _matches(text, bases)} - {file}


def _bases(file: Path) -> list[Path]:
    above = [p for p in file.parents if p != file.parent and p.is_relative_to(registry.ROOT)]
    return list(dict.fromkeys([file.parent, *above, Path.cwd()]))


def _text(node: ast.AST, known: dict[str, str]) -> str | None:
    """Return the pattern of an expression's value, with "*" for unknown parts; None if nothing is known."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("[", "[[]")
        case ast.Name(id=name):
            return known.get(name)
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, known) or "*" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            ends = _text(left, known), _text(right, known)
            return None if ends == (None, None) else "".join(end or "*" for end in ends)
        case ast.BinOp(left=left, op=ast.Mod()):
            text = _text(left, known)
            return None if text is None else re.sub(r"%[-+ #0-9.]*[a-z]|%\(\w+\)[a-z]", "*", text)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([left, right], known)
        case ast.Call(func=ast.Attribute(value=text, attr="format")):
            text = _text(text, known)
            return None if text is None else re.sub(r"\{[^{}]*\}", "*", text)
        case ast.Call(func=ast.Attribute(attr="rglob"), args=[pattern]):
            return None if (text := _text(pattern, known)) is None else f"**/{text}"
        case ast.Call(func=ast.Attribute(value=owner, attr=name), args=args) if name in JOINS:
            return _joined([owner, *args], known)
        case ast.Call(func=ast.Name(id=name), args=args) if name in (*JOINS, "str"):
            return _joined(args, known)
    return None


def _joined(parts: list[ast.expr], known: dict[str, str]) -> str | None:
    """Return a path; unknown parts at its start, such as the folder of the source file, are left out."""
    texts = [_text(part, known) for part in parts]
    while texts and texts[0] is None:
        del texts[0]
    return "/".join(text or "*" for text in texts) if texts else None


def _matches(text: str, bases: list[Path]) -> Iterator[Path]:
    if not text.strip("*/.?") or len(text) > LONGEST or not text.isprintable():
        return
    path = Path(os.path.expanduser(text))
    is_word = "." not in text and "/" not in text
    for base in [Path(path.anchor)] if path.is_absolute() else bases[:1] if is_word else bases:
        is_own = base == bases[0]
        if "*" not in text:
            yield from _files(base / str(path).replace("[[]", "["), is_own)
        # A wildcard must not match everything, as in f"{first} {second}". Elsewhere it must also have a name.
        elif re.search(r"\.\w+$", text) and (
            is_own or (re.search(r"\w[^/]*\.\w+$", text) and "**" not in text)
        ):
            for match in base.glob(str(path.relative_to(path.anchor))):
                yield from _files(match, is_own)


def _files(path: Path, may_be_folder: bool) -> Iterator[Path]:
    try:
        if path.is_file():
            yield path
        elif may_be_folder and path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
            yield from (p for _, p in zip(range(MANY), inside, strict=False))
    except OSError:
        return
