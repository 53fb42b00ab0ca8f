"""Every sentence under "What we found" in README.md, recomputed from the committed rows.

The computation shares no code with the tables: it reads the rows as JSON, and the tests are exact.
"""

import json
import re
from collections import defaultdict
from itertools import combinations, product

import numpy as np
import pytest

from addax import Addax
from benchmarks.registry import ROOT
from tests.e2e import real_rows
from tests.e2e.exact_tests import assert_interval, holm, p_value
from tests.e2e.page_sentences import sentences

SECTION = re.search(r"## What we found\n(.*?)\n\[Results\]", (ROOT / "README.md").read_text(), re.S)[1]


def rows_of(suite):
    return [json.loads(text) for text in (ROOT / f"results/reference/{suite}.jsonl").read_text().splitlines()]


def points(differences):
    return f"{100 * np.mean(differences):+.1f}"


def scores_of(rows, name_of):
    """Return name -> (method, task, seed) or (task, seed) -> score."""
    found = defaultdict(dict)
    for row in rows:
        name, pair = name_of(row)
        found[name][pair] = row["score"]
    return found


def differences(scores, a, b):
    """Return the differences a - b over the pairs that both have."""
    return np.array([scores[a][pair] - scores[b][pair] for pair in scores[a] if pair in scores[b]])


@pytest.fixture(scope="module")
def shown():
    """Return the intervals in the order of the text."""
    return re.findall(r"interval (\S+ to \S+\d)", " ".join(sentences(SECTION)))


def test_every_sentence_follows_from_the_rows(shown):
    peaks = {
        (row["label"], row["gradient_checkpointing"]): row["peak_bytes"] / 1e9
        for row in rows_of("memory-curves")
        if (row["what"], row["model"], row["length"]) == ("figure4", "facebook/opt-13b", 1000)
    }
    gb = {key: f"{value:.1f}" for key, value in peaks.items()}
    realized = {
        row["rounding"]: row
        for row in rows_of("precision")
        if (row["measure"], row["weights"], row["dtype"]) == ("fraction", "synthetic", "bfloat16")
        and row["size"] == 1e-6
    }
    nearest, ours = (rounding_differences(way) for way in ("nearest", "stochastic"))
    released = rounding_differences("stochastic", arithmetic="released")
    quick, quick_p = quick_comparisons()
    zeroth, everything = long_differences()
    real = real_rows.scores()
    gaps = {label: real_rows.difference(real, label) for label in real_rows.OTHERS}
    of = {label: points(gap) for label, gap in gaps.items()}
    assert sentences(SECTION) == [
        "On a real model, no difference in accuracy from Addax is significant yet.",
        "Each comparison has six pairs of runs of SmolLM2-135M on SST-2 and TREC, and significance takes "
        "eight.",
        f"The mean differences from Addax are {of['Addax (D1 only)']} points (95 % interval {shown[0]}) with "
        f"Addax on the short examples alone, {of['MeZO']} (interval {shown[1]}) with MeZO, {of['IP-SGD']} "
        f"(interval {shown[2]}) with IP-SGD, {of['Adam']} (interval {shown[3]}) with Adam, and "
        f"{of['Adam (LoRA)']} (interval {shown[4]}) with Adam on LoRA adapters.",
        "In all six pairs, Addax is ahead of MeZO and behind each other method.",
        "Addax saves memory by leaving long examples out of the backward pass.",
        f"On OPT-13B with long examples of 1000 tokens, a step needs {gb['Addax', False]} GB (K0 = 6 long "
        "examples, K1 = 4 short ones).",
        f"IP-SGD needs {gb['IP-SGD', False]} GB for 8 long examples (both predicted).",
        "Gradient checkpointing removes most of that advantage.",
        f"IP-SGD with checkpointing needs {gb['IP-SGD', True]} GB for the same batch, and Addax with "
        f"checkpointing {gb['Addax', True]} GB.",
        "The published 16-bit arithmetic loses most of a small step, and ours does not.",
        f"In bfloat16 it realizes {100 * realized[None]['fraction']:.1f} % of a step with "
        "lr x projected_grad = 1e-6; our stochastic rounding realizes all of it on average.",
        "On our small tasks, bfloat16 runs of our arithmetic with rounding to nearest differ from float32 by "
        f"{points(nearest)} points (95 % interval {shown[5]}), and those with stochastic rounding by "
        f"{points(ours)} points (interval {shown[6]}).",
        f"The published arithmetic differs by {points(released)} points, which is not significant (interval "
        f"{shown[7]}).",
        "On our small generated tasks, Addax learns more than MeZO, which did more work, and less than Adam, "
        "which did equal work.",
        "At alpha = 0.02, the differences over nine tasks and three seeds are "
        f"{points(quick['MeZO'])} and {points(quick['Adam'])} points.",
        "Nothing has been measured on a GPU yet.",
        "We see no learning from long examples by Addax's zeroth-order part at alpha = 0.001, the default.",
        "Where only long examples teach how to answer long rows, the difference between Addax and training "
        f"on the short examples alone is {points(zeroth)} points (95 % interval {shown[8]}), and IP-SGD "
        f"with checkpointing on all examples is {points(everything)} points ahead, at the same budget "
        "(Long examples).",
    ]
    # What the sentences claim beyond their numbers; the page on real weights has a test of its own.
    assert {len(gap) for gap in gaps.values()} == {6}
    assert {task for task, _ in real["Addax"]} == {"sst2", "trec"}
    for gap, interval in zip(gaps.values(), shown, strict=False):
        assert_interval(interval, gap)
    assert (gaps.pop("MeZO") < 0).all()
    assert all((gap > 0).all() for gap in gaps.values())
    assert not any("cuda" in row["config"]["device"] for row in rows_of("quick"))
    saved = peaks["IP-SGD", False] - peaks["Addax", False]
    assert peaks["IP-SGD", True] - peaks["Addax", True] < saved / 2
    stochastic = realized["stochastic"]
    assert stochastic["directions"] >= 16
    assert abs(stochastic["fraction"] - 1) < 3 * stochastic["standard_error"] < 0.02
    assert len(nearest) == len(ours) == 27
    # Holm's correction over four comparisons multiplies the smallest p by four.
    assert p_value(nearest) < 0.05 / 4
    assert p_value(ours) > 0.05
    assert_interval(shown[5], nearest)
    assert_interval(shown[6], ours)
    assert len(released) == 18
    assert p_value(released) > 0.05
    assert_interval(shown[7], released)
    assert np.mean(quick["MeZO"]) > 0 > np.mean(quick["Adam"])
    assert quick_p["MeZO"] < 0.05
    assert quick_p["Adam"] < 0.05
    assert len(quick["MeZO"]) == len(quick["Adam"]) == 27
    work = {
        label: {r["forward_equivalents"] for r in rows_of("quick") if r["label"] == label}
        for label in ("Addax", "Adam", "MeZO")
    }
    assert work["Addax"] == work["Adam"]
    assert max(work["Addax"]) < min(work["MeZO"])
    assert {r["config"]["settings"]["alpha"] for r in rows_of("quick") if r["label"] == "Addax"} == {0.02}
    assert Addax.arguments()["alpha"] == 0.001
    assert_interval(shown[8], zeroth)
    assert p_value(zeroth) > 0.05
    assert p_value(everything) < 0.05 / 8


def test_the_p_value_counts_all_sign_patterns():
    generator = np.random.default_rng(0)
    patterns = np.array(list(product((-1, 1), repeat=10)))
    for mean in (0.0, 0.02, 0.05):
        values = np.round(generator.normal(mean, 0.05, 10), 3)
        expected = np.mean(np.abs(patterns @ values) >= abs(values.sum()) - 1e-9)
        assert p_value(values) == pytest.approx(expected, abs=1e-12)


def rounding_differences(rounding, arithmetic="exact"):
    """Return the differences from float32 of the bfloat16 runs with one rounding and one arithmetic."""

    def name_of(row):
        config = row["config"]
        settings = config["settings"]
        way = (config["dtype"], settings["rounding"], settings.get("arithmetic", "exact"))
        return way, (config["method"], config["task"], config["seed"])

    scores = scores_of(rows_of("rounding"), name_of)
    return differences(scores, ("bfloat16", rounding, arithmetic), ("float32", "stochastic", "exact"))


def quick_comparisons():
    """Return Addax's differences from each other method on nano-opt, and p corrected over all pairs."""
    scores = scores_of(
        [row for row in rows_of("quick") if row["config"]["model"] == "nano-opt"],
        lambda row: (row["label"], (row["config"]["task"], row["config"]["seed"])),
    )
    tested = [name for name in scores if len(scores[name]) == 27 and name != "zero-shot"]
    assert len(tested) == 6
    p = holm({(a, b): p_value(differences(scores, a, b)) for a, b in combinations(tested, 2)})
    others = [name for name in tested if name != "Addax"]
    corrected = {b: p.get(("Addax", b), p.get((b, "Addax"))) for b in others}
    return {b: differences(scores, "Addax", b) for b in others}, corrected


def long_differences():
    """Return the differences from D1 only on long rows of the second versions: Addax, and IP-SGD."""

    def name_of(row):
        alpha = row["config"]["settings"].get("alpha")
        return (row["label"], alpha), (row["config"]["task"], row["config"]["seed"])

    rows = [
        row | {"score": row["test_long"]["score"]}
        for row in rows_of("long-matters")
        if row["config"]["task"].endswith("-long")
    ]
    scores = scores_of(rows, name_of)
    d1 = next(name for name in scores if name[0] == "Addax (D1 only)")
    everything = next(name for name in scores if name[0] == "IP-SGD (checkpointing)")
    return differences(scores, ("Addax", 0.001), d1), differences(scores, everything, d1)
