"""Seeds: hash the seed of a step, and derive the seed of every stream of random numbers from it.

torch's CPU generator uses only 32 bits of its seed. A step seed is therefore hashed into the key of a
bijection instead of being added to a counter, so that all streams of a step are distinct by construction.
"""

from functools import lru_cache

MAX_TENSORS = 1 << 15
MAX_BLOCKS = 1 << 16

_M32 = (1 << 32) - 1
_M64 = (1 << 64) - 1
# The streams of a step. It draws normals or signs, never both, so only rounding must differ from both.
NORMAL, ROUNDING, SIGNS = 0, 1, 2


def _mix64(x: int) -> int:
    """Mix 64 bits with a bijection in which every input bit affects every output bit (SplitMix64)."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _M64
    return x ^ (x >> 31)


def _mix32(x: int) -> int:
    """Mix 32 bits with a bijection (the finalizer of MurmurHash3)."""
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & _M32
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & _M32
    return x ^ (x >> 16)


def hash_seed(seed: int, *words: int) -> int:
    """Hash a seed and a sequence of integers to a 64-bit seed.

    Examples:
        >>> hash_seed(0, 1) != hash_seed(1, 0), hash_seed(7) == hash_seed(7)
        (True, True)
        >>> hash_seed(7) != hash_seed(7 + 2**32)
        True
    """
    state = _mix64((seed & _M64) ^ 0x9E3779B97F4A7C15)
    for word in (len(words), *words):
        state = _mix64((state + 0x9E3779B97F4A7C15 + (word & _M64)) & _M64)
    return state


@lru_cache(64)
def _key(step_seed: int) -> int:
    return hash_seed(step_seed)


def stream_seed(step_seed: int, index: int, block: int, stream: int, device_type: str) -> int:
    """Return the seed of one block's generator: distinct for all that a step draws.

    For each step seed, it is a bijection of (index, block) together with the bit "z or rounding".

    Raises:
        ValueError: if there are more parameters or blocks than the 32 bits of a CPU seed can distinguish.
    """
    if not (0 <= index < MAX_TENSORS and 0 <= block < MAX_BLOCKS):
        raise ValueError(
            f"parameter {index}, block {block} is out of range: a model can have at most {MAX_TENSORS} "
            f"parameters with at most {MAX_BLOCKS} blocks each"
        )
    counter = (stream << 31) | (index << 16) | block
    key = _key(step_seed)
    if device_type == "cpu":
        return _mix32(_mix32(counter ^ (key & _M32)) ^ (key >> 32))
    return _mix64(counter ^ key)
