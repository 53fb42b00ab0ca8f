"""Extraction of the final number from a written solution, as in GSM8K (Cobbe et al., arXiv 2110.14168)."""

import re
from decimal import Decimal

# This marker precedes the final number.
FINAL = "####"


def final_number(text: str) -> str | None:
    """Return the number after the first "####" in canonical form, or None if there is no number.

    >>> final_number("so 2 * 525 = 1,050. #### $1,050.0")
    '1050'
    """
    tail = text.partition(FINAL)[2].replace(",", "").replace("$", "")
    found = re.match(r"\s*([-+]?(?:\d+(?:\.\d+)?|\.\d+))", tail)
    if found is None:
        return None
    number = format(Decimal(found[1]), "f")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return "0" if number == "-0" else number
