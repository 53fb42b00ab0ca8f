"""Memory as people write it (40GB, 39.4GiB), and how much of a device's a run may count on."""

import re

from benchmarks.errors import UserError

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# Of a GPU, held back for what no prediction counts: the CUDA context with its kernels and the libraries' own
# workspaces (about 0.5 to 0.8 GB), and what the caching allocator holds in pieces that fit nothing.
RESERVE = 1_500_000_000
AUTO = "auto:"


def parse(text: str, what: str) -> int:
    """Bytes of an amount of memory: GB are 10^9 bytes and GiB are 2^30, as written.

    Args:
        text: a number and a unit.
        what: gave it, for the error.

    Raises:
        UserError: anything else.

    >>> parse("40GB", "--gpu-memory"), parse("1.5 GiB", "--gpu-memory")
    (40000000000, 1610612736)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]i?B)", text.strip())
    size = round(float(found[1]) * UNITS[found[2]]) if found else 0
    if size == 0:
        raise UserError(
            f"{what} {text}: give a number and one of {', '.join(UNITS)}, such as 40GB or 39.4GiB"
        )
    return size


def unit(text: str) -> str:
    """The unit that an amount is written in.

    >>> unit("1.5 GiB")
    'GiB'
    """
    return text.strip().lstrip("0123456789. ")


def reserve(device: str) -> int:
    """Bytes held back of a device ("cpu", "cuda", "cuda:1"): `RESERVE` of a GPU, nothing elsewhere."""
    return RESERVE if device.startswith("cuda") else 0


def words(size: int, unit: str = "GB") -> str:
    """Bytes in a unit, for a reader.

    >>> words(25_706_946_560), words(-2**29, "GiB")
    ('25.71 GB', '-0.50 GiB')
    """
    return f"{size / UNITS[unit]:,.2f} {unit}"
