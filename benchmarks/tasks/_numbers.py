"""The number in which a solution in words ends, as in GSM8K (Cobbe et al., arXiv 2110.14168)."""

import re
from decimal import Decimal

# Precedes the number.
FINAL = "####"


def final_number(text: str) -> str | None:
    """Return the number after the first "####" in one spelling, or None if there is none.

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
