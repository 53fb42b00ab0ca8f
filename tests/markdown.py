"""Cells of Markdown tables."""

import re


def cells(markdown):
    """Return the cells of every line of every pipe table, without the rules below headers."""
    lines = [
        line for line in markdown.splitlines() if line.startswith("|") and not re.match(r"\|[:-]+\|", line)
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
