"""Learning rates of a comparison: one rule for every method, with the same number of trials.

    center = r1 (d / d1)^p,   p = log(r2 / r1) / log(d2 / d1)

d is the number of trained parameters. (d1, r1) is the rate that the trials of `quick` select for the built-in
models. (d2, r2) is the middle of the grid in the papers' suites of OPT-13B (MeZO-SVRG: OPT-6.7B). The rule of
an optimizer of another package is that of the method whose steps have the same size. The first three trials
are at center / 10, center, and 10 center. The last two are on both sides of the best of them, half a decade
away. Rates are 1 or 3 times a power of ten, where 3 stands for sqrt(10).
"""

import math

from benchmarks.errors import UserError

# Method -> ((d1, r1), (d2, r2)).
NANO, OPT_13B, OPT_6_7B = 185e3, 12.85e9, 6.66e9
ANCHORS = {
    "addax": ((NANO, 6e-3), (OPT_13B, 3e-4)),
    "mezo": ((NANO, 1e-3), (OPT_13B, 3e-7)),
    "mezo-svrg": ((NANO, 1e-3), (OPT_6_7B, 3e-5)),
    "ip-sgd": ((NANO, 2e-2), (OPT_13B, 5e-4)),
    "sgd": ((NANO, 2e-2), (OPT_13B, 5e-4)),
    "adam": ((NANO, 1e-3), (OPT_13B, 3e-5)),
}
# Momentum of 0.9 makes the steps of SGD ten times as large. The rate of Adafactor is relative to the size of
# each parameter.
ANCHORS |= dict.fromkeys(("adam8bit", "muon", "schedule-free"), ANCHORS["adam"])
ANCHORS["sgd-momentum"] = tuple((trained, rate / 10) for trained, rate in ANCHORS["sgd"])
ANCHORS["adafactor"] = ((NANO, 3e-3), (OPT_13B, 3e-3))
# Half decades from the center to the first trials, and from the best of these to the last ones.
FIRST, LAST = (-2, 0, 2), (-1, 1)
TRIALS = len(FIRST) + len(LAST)


def center(method: str, trained: int, default: float | None = None) -> float:
    """Return the center of a method's trials.

    >>> center("mezo", 185_000), center("mezo", 12_850_000_000), center("adam", 134_515_008)
    (0.001, 3e-07, 0.0001)

    Args:
        method: name of the method.
        trained: number of trained parameters.
        default: the method's own default learning rate, for a method without a rule.

    Raises:
        UserError: the method has neither.
    """
    if method not in ANCHORS:
        if default is None:
            raise UserError(f"no rule gives a learning rate for {method}: pass --center {method}=RATE")
        return nearest(default)
    (d1, r1), (d2, r2) = ANCHORS[method]
    power = math.log(r2 / r1) / math.log(d2 / d1)
    return nearest(r1 * (trained / d1) ** power)


def nearest(rate: float) -> float:
    """Return the nearest rate that is 1 or 3 times a power of ten.

    >>> nearest(2e-3), nearest(7e-5)
    (0.003, 0.0001)
    """
    return _rate(_half_decades(rate))


def first_trials(center: float) -> list[float]:
    """Return the rates of the first trials.

    >>> first_trials(3e-4)
    [3e-05, 0.0003, 0.003]
    """
    return [_rate(_half_decades(center) + step) for step in FIRST]


def last_trials(best: float) -> list[float]:
    """Return the rates of the last trials, given the best of the first ones.

    >>> last_trials(3e-3)
    [0.001, 0.01]
    """
    return [_rate(_half_decades(best) + step) for step in LAST]


def _half_decades(rate: float) -> int:
    return round(2 * math.log10(rate))


def _rate(half_decades: int) -> float:
    power, odd = divmod(half_decades, 2)
    return float(f"{3 if odd else 1}e{power}")
