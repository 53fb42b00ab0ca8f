"""The suite `rounding`: every 16-bit run has a float32 run that differs in the arithmetic alone."""

from benchmarks.suites import quick, rounding


def test_runs_of_one_seed_differ_in_the_arithmetic_alone():
    """Every 16-bit run has its float32 twin, equal in all but the arithmetic."""
    groups = {}
    for s in rounding.specs():
        assert s.seed == s.data_seed
        config = s.config()
        own = {k: v for k, v in s.settings.items() if k not in ("rounding", "arithmetic")}
        usual = {k: v for k, v in quick.SETTINGS[s.method].items() if k != "steps"}
        assert (config | own).items() >= usual.items()
        way = (s.dtype, s.settings["rounding"], s.settings.get("arithmetic", "exact"))
        groups.setdefault((s.method, s.task, s.seed, s.steps, str(own)), []).append(way)
    assert len(groups) == 3 * 3 * 3
    every = [(dtype, "stochastic", "exact") for dtype in ("float32", "bfloat16", "float16")]
    every += [("bfloat16", "nearest", "exact"), ("bfloat16", "stochastic", "released")]
    for (method, *_), ways in groups.items():
        assert ways == (every[:-1] if method == "ip-sgd" else every)
