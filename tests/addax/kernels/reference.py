"""The noise implementation "philox" in NumPy, written from its definition in `addax.kernels`."""

import numpy as np

from addax.seeds import hash_seed

U64 = np.uint64
M32 = U64(0xFFFFFFFF)
NORMAL, RADEMACHER, ROUNDING = range(3)


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Return the random words of counters: both of shape (n, 4), uint64 below 2^32."""
    a, b, c, d = (counter[:, i].astype(U64) for i in range(4))
    low, high = key
    for _ in range(10):
        first, second = a * U64(0xD2511F53), c * U64(0xCD9E8D57)
        a, b, c, d = (
            (second >> U64(32)) ^ b ^ U64(low),
            second & M32,
            (first >> U64(32)) ^ d ^ U64(high),
            first & M32,
        )
        low, high = (low + 0x9E3779B9) % 2**32, (high + 0xBB67AE85) % 2**32
    return np.stack([a, b, c, d], axis=1)


def words(step_seed: int, index: int, stream: int, c: np.ndarray) -> np.ndarray:
    """Return the four words of each counter c of a stream: shape (n, 4)."""
    key = hash_seed(step_seed)
    c = c.astype(U64)
    counter = np.stack([c & M32, c >> U64(32), np.full_like(c, index), np.full_like(c, stream)], axis=1)
    return philox(counter, (key % 2**32, key >> 32))


def _rows(elements: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the counter of each element if a counter serves `rows` rows, and the row among them."""
    row, lane = elements // 512, elements % 512
    return (row // rows) * 512 + lane, row % rows


def box_muller(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two normals, float64, from two words."""
    radius = np.sqrt(-2 * np.log1p((((a | U64(1)).astype(np.float64)) - 2.0**32) / 2.0**32))
    # Reduce the angle exactly. The sine of a rounded multiple of pi has a large relative error.
    quarter = (b + U64(1 << 29)) >> U64(30)
    rest = (b.astype(np.int64) - (quarter.astype(np.int64) << 30)) * (2 * np.pi / 2**32)
    sine, cosine, q = np.sin(rest), np.cos(rest), quarter.astype(np.int64) % 4
    return (
        radius * np.choose(q, [cosine, -sine, -cosine, sine]),
        radius * np.choose(q, [sine, cosine, -sine, -cosine]),
    )


def normals(step_seed: int, index: int, elements: np.ndarray) -> np.ndarray:
    """Return z of elements of one parameter: float64."""
    counter, row = _rows(elements, 4)
    four = words(step_seed, index, NORMAL, counter)
    return np.choose(row, [*box_muller(four[:, 0], four[:, 1]), *box_muller(four[:, 2], four[:, 3])])


def signs(step_seed: int, index: int, elements: np.ndarray) -> np.ndarray:
    """Return the Rademacher z of elements of one parameter: float64."""
    counter, row = _rows(elements, 128)
    word = np.take_along_axis(words(step_seed, index, RADEMACHER, counter), row[:, None] // 32, axis=1)[:, 0]
    return 1.0 - 2.0 * ((word >> (row % 32).astype(U64)) & U64(1)).astype(np.float64)


def rounding_bits(step_seed: int, index: int, elements: np.ndarray) -> np.ndarray:
    """Return the rounding bits of elements of one parameter: int32 in [0, 2^16)."""
    counter, row = _rows(elements, 8)
    word = np.take_along_axis(words(step_seed, index, ROUNDING, counter), row[:, None] // 2, axis=1)[:, 0]
    return ((word >> (16 * (row % 2)).astype(U64)) & U64(0xFFFF)).astype(np.int32)
