"""Tests of the suite `rounding`."""

from benchmarks.suites import quick, rounding


def test_runs_of_one_seed_differ_only_in_the_arithmetic():
    """Every 16-bit run has a float32 run that differs only in the arithmetic."""
    groups = {}
    for s in rounding.specs():
        assert s.seed == s.data_seed
        config = s.config()
        settings = {k: v for k, v in s.settings.items() if k not in ("rounding", "arithmetic")}
        expected = {k: v for k, v in quick.SETTINGS[s.method].items() if k != "steps"}
        assert (config | settings).items() >= expected.items()
        variant = (s.dtype, s.settings["rounding"], s.settings.get("arithmetic", "exact"))
        groups.setdefault((s.method, s.task, s.seed, s.steps, str(settings)), []).append(variant)
    assert len(groups) == 3 * 3 * 3
    every = [(dtype, "stochastic", "exact") for dtype in ("float32", "bfloat16", "float16")]
    every += [("bfloat16", "nearest", "exact"), ("bfloat16", "stochastic", "released")]
    for (method, *_), variants in groups.items():
        assert variants == (every[:-1] if method == "ip-sgd" else every)
