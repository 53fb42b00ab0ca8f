"""Marks: HTML comments that enclose the generated parts of a page."""

import re
from collections.abc import Callable

from benchmarks.errors import UserError

VALUE_END = "<!-- /value -->"


def tables(text: str) -> list[str]:
    """Return the names of the tables on a page, in order.

    >>> tables("<!-- table:quick:score -->\\n<!-- /table:quick:score -->")
    ['quick:score']
    """
    return re.findall(r"<!-- table:(\S+) -->", text)


def splice(text: str, page: str, name: str, table: str) -> str:
    """Return a page with one table replaced.

    Raises:
        UserError: the mark is never closed.
    """
    opening, closing = f"<!-- table:{name} -->", f"<!-- /table:{name} -->"
    before, rest = text.split(opening, 1)
    if closing not in rest:
        raise UserError(f"{page}: {opening} is never closed; add {closing} below it")
    return f"{before}{opening}\n{table.strip()}\n{closing}{rest.split(closing, 1)[1]}"


def values(text: str) -> list[str]:
    """Return the keys of the values on a page, in their order.

    >>> values("It takes <!-- value:demo:table | MeZO | time (s) -->3.0<!-- /value --> s.")
    ['demo:table | MeZO | time (s)']
    """
    return re.findall(r"<!-- value:(.+?) -->", text)


def fill_values(text: str, page: str, value_of: Callable[[str], str]) -> str:
    """Return a page with every value replaced.

    Args:
        text: the page.
        page: its name, for errors.
        value_of: returns the value of a key.

    Raises:
        UserError: a mark is never closed, or a line begins with a mark, which Markdown would render as a
            separate block.
    """
    parts = re.split(r"(<!-- value:.+? -->)", text)
    filled = [parts[0]]
    for mark, rest in zip(parts[1::2], parts[2::2], strict=True):
        if filled[-1].endswith("\n") or not filled[-1]:
            raise UserError(f"{page}: a line begins with {mark}; begin the line with a word")
        old, closing, after = rest.partition(VALUE_END)
        if not closing or "\n" in old:
            raise UserError(f"{page}: {mark} is never closed; add {VALUE_END} after the number")
        key = mark.removeprefix("<!-- value:").removesuffix(" -->")
        filled += [f"{mark}{value_of(key)}{VALUE_END}", after]
    return "".join(filled)
