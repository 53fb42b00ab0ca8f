"""Exact sign-flip tests, computed without the code of the suite."""

import numpy as np

# Differences are rounded to this unit, in which the sums of all sign patterns are counted.
UNIT = 1e-5


def p_value(differences: np.ndarray) -> float:
    """Return the two-sided p-value of the mean over all sign patterns, counted by their sums."""
    steps = np.rint(np.abs(differences) / UNIT).astype(int)
    total = steps.sum()
    # share[total + s] is the share of the patterns whose sum is s.
    share = np.zeros(2 * total + 1)
    share[total] = 1.0
    for step in steps:
        up, down = np.roll(share, step), np.roll(share, -step)
        share = (up + down) / 2
    observed = abs(np.rint(np.asarray(differences) / UNIT).astype(int).sum())
    sums = np.abs(np.arange(-total, total + 1))
    return float(share[sums >= observed].sum())


def assert_interval(text, differences):
    """Assert that an interval has the shifts that the exact test does not reject at 5 %.

    The tables draw 9,999 sign patterns, so their ends differ from the exact ones by a few tenths.
    """
    low, high = (float(end) / 100 for end in text.split(" to "))
    for end, outward in ((low, -1), (high, 1)):
        assert p_value(differences - (end - outward * 4e-3)) > 0.05
        assert p_value(differences - (end + outward * 4e-3)) < 0.05


def holm(p: dict) -> dict:
    """Return Holm's corrections of p-values by name."""
    found, largest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=p.get)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        found[name] = largest
    return found
