"""Amounts of memory as people write them (40GB, 39.4GiB), and the bytes to keep free on a device."""

import re

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# GPU bytes that predictions do not include: the CUDA context with its kernels and the handles of libraries
# (about 0.5 to 0.8 GB together), and fragments that the caching allocator cannot use.
RESERVE = 1_500_000_000


def parse_bytes(text: str, what: str) -> int:
    """Parse an amount of memory. A GB is 10^9 bytes and a GiB is 2^30 bytes.

    Args:
        text: a number and a unit.
        what: the name of the argument, for the error message.

    Returns:
        The number of bytes.

    Raises:
        ValueError: if `text` is not a positive number with a unit.

    Examples:
        >>> parse_bytes("40GB", "--gpu-memory"), parse_bytes("1.5 GiB", "--gpu-memory")
        (40000000000, 1610612736)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]i?B)", text.strip())
    size = round(float(match[1]) * UNITS[match[2]]) if match else 0
    if size == 0:
        raise ValueError(
            f"{what} {text}: use a number and one of {', '.join(UNITS)}, such as 40GB or 39.4GiB"
        )
    return size


def unit_of(text: str) -> str:
    """Return the unit of an amount of memory.

    Examples:
        >>> unit_of("1.5 GiB")
        'GiB'
    """
    return text.strip().lstrip("0123456789. ")


def reserve(device: str) -> int:
    """Return the bytes to keep free on a device ("cpu", "cuda", "cuda:1"): `RESERVE` on a GPU, else 0."""
    return RESERVE if device.startswith("cuda") else 0


def format_bytes(size: int, unit: str = "GB") -> str:
    """Format a number of bytes in a unit.

    Examples:
        >>> format_bytes(25_706_946_560), format_bytes(-2**29, "GiB")
        ('25.71 GB', '-0.50 GiB')
    """
    return f"{size / UNITS[unit]:,.2f} {unit}"
