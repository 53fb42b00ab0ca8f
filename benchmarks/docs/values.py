"""Values: single numbers in sentences, each of which is a cell of a generated table."""

import re

from benchmarks.docs.tables import Tables
from benchmarks.errors import UserError, unknown


def lookup(key: str, page: str, tables: Tables) -> str:
    """Return the cell that a key names.

    Args:
        key: "TABLE | ROW | COLUMN". TABLE is a table's name, ROW is the text of a line's first cell (or of
            its first cells, separated by " | "), and COLUMN is a column's header.
        page: name of the page, for errors.
        tables: builds the table.

    Raises:
        UserError: the key has another form, or does not match exactly one line and a column of the table.
    """
    parts = [part.strip() for part in key.split(" | ")]
    if len(parts) < 3:
        raise UserError(f"{page}: the value {key!r} must have the form TABLE | ROW | COLUMN")
    name, *row, column = parts
    found, headers, labels = [], set(), []
    for header, cells in lines(tables.build(name, page, with_provenance=False)):
        headers |= set(header)
        labels.append(" | ".join(cells[: len(row)]))
        if cells[: len(row)] == row and column in header:
            found.append(cells[header.index(column)])
    if len(found) == 1:
        return found[0]
    where = f"the value {key!r} in {page}"
    if found:
        raise UserError(f"{where}: {len(found)} lines of {name} match; add more of their first cells to ROW")
    if column not in headers:
        raise unknown(f"column of {where}", column, sorted(headers))
    raise unknown(f"row of {where}", " | ".join(row), list(dict.fromkeys(labels)))


def lines(markdown: str) -> list[tuple[list[str], list[str]]]:
    """Return every line of every pipe table as its header and its cells.

    >>> lines("| a | b |\\n|:--|--:|\\n| x | 1 |")
    [(['a', 'b'], ['x', '1'])]
    """
    found, header = [], None
    for line in markdown.splitlines():
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = _cells(line)
        elif not re.match(r"\|[:-]+\|", line):
            found.append((header, _cells(line)))
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]
