"""Every sentence of the answers on the page about long examples, recomputed from the committed rows.

The computation shares no code with the tables: it reads the rows as JSON, and counts all sign patterns.
"""

import json
import re
from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from benchmarks.registry import ROOT
from tests.e2e import page_sentences
from tests.e2e.exact_tests import holm

PAGE = ROOT / "docs" / "results" / "long-matters.md"
TASKS = ("boolq", "multirc", "squad")
SEEDS = range(6)
D1 = "Addax (D1 only)"
LINES = (
    *(f"Addax, alpha {alpha}" for alpha in (0.001, 0.01, 0.03, 0.1, 0.3)),
    "Addax-WA, alpha 0.001", "IP-SGD (checkpointing)", "MeZO",
)  # fmt: skip


@pytest.fixture(scope="module")
def scores():
    """Return (version, kind of rows, method) -> scores by task and seed, of shape (18,)."""
    found = defaultdict(dict)
    for text in (ROOT / "results/reference/long-matters.jsonl").read_text().splitlines():
        row = json.loads(text)
        config = row["config"]
        alpha = config["settings"].get("alpha")
        name = f"{row['label']}, alpha {alpha:g}" if alpha else row["label"]
        task, version = (
            config["task"].removesuffix("-long"),
            "second" if "-long" in config["task"] else "first",
        )
        for kind, key in (("all", "test"), ("long", "test_long"), ("short", "test_short")):
            found[version, kind, name][task, config["seed"]] = row[key]["score"]
    order = list(product(TASKS, SEEDS))
    return {key: np.array([cells[pair] for pair in order]) for key, cells in found.items()}


SIGNS = np.array(list(product((-1.0, 1.0), repeat=17)))


def p_value(differences):
    """Return the two-sided p-value over all 2^18 sign patterns; the first sign is fixed by symmetry."""
    sums = np.abs(differences[0] + SIGNS @ differences[1:])
    return float((sums >= abs(differences.sum()) - 1e-9).mean())


def interval(differences):
    """Return the shifts that the test does not reject at 5 %, found by bisection on p."""
    ends = []
    for direction in (-1, 1):
        near, far = differences.mean(), differences.mean() + direction
        for _ in range(40):
            middle = (near + far) / 2
            near, far = (middle, far) if p_value(differences - middle) > 0.05 else (near, middle)
        ends.append(near)
    return ends


def corrected(scores, version, kind):
    """Return Holm's correction of the p-values of the eight comparisons."""
    p = {name: p_value(scores[version, kind, name] - scores[version, kind, D1]) for name in LINES}
    return holm(p)


def sentences():
    """Return the sentences of the section "Answers"."""
    return page_sentences.sentences(
        re.search(r"## Answers\n(.*?)\nThe first answer", PAGE.read_text(), re.S)[1]
    )


class Numbers:
    """The numbers of one comparison with D1 only, as the page prints them."""

    def __init__(self, scores, version, kind, name):
        values = scores[version, kind, name] - scores[version, kind, D1]
        self.gap = f"{100 * values.mean():+.1f}"
        self.mean, self.ends = values.mean(), interval(values)
        p = corrected(scores, version, kind)[name]
        self.significant, self.p = p < 0.05, "<0.0001" if p < 1e-4 else f"{p:.4f}"


def test_every_sentence_follows_from_the_rows(scores):
    def of(version, kind, name):
        return Numbers(scores, version, kind, name)

    def score(name):
        return f"{100 * scores['second', 'long', name].mean():.1f}"

    low, high = of("second", "long", LINES[0]), of("second", "long", "Addax, alpha 0.1")
    short = of("second", "short", "Addax, alpha 0.1")
    mezo, everything = of("second", "long", "MeZO"), of("second", "long", "IP-SGD (checkpointing)")
    wa = of("second", "long", "Addax-WA, alpha 0.001")
    first, plain = of("first", "all", "IP-SGD (checkpointing)"), of("first", "all", LINES[0])
    large = [of(version, "all", "Addax, alpha 0.3") for version in ("first", "second")]
    texts = sentences()
    shown = iter(interval_texts(texts))

    def ends(numbers):
        """Return an interval as the page prints it, if it agrees with the exact one."""
        text = next(shown)
        printed = [float(end) for end in text.split(" to ")]
        # The tables draw 9,999 sign patterns, so their ends differ from the exact ones by a few tenths.
        assert printed == pytest.approx([100 * end for end in numbers.ends], abs=0.4)
        return text

    assert texts == [
        "At alpha 0.001, the default, we see no learning from long examples.",
        "On the long rows of the second versions, the difference between Addax and D1 only is "
        f"{low.gap} points (95 % interval {ends(low)}), and D1 only scores {score(D1)}, as "
        f"much as zero-shot ({score('zero-shot')}).",
        "No alpha has a significant gain on long rows.",
        f"The largest difference from D1 only is {high.gap} points, at alpha 0.1 (interval {ends(high)}, "
        f"corrected p {high.p}).",
        f"There Addax loses on short rows: the difference is {short.gap} points (interval {ends(short)}, "
        f"corrected p {short.p}).",
        "MeZO shows no learning from long examples either.",
        "On all examples and at the same budget, the difference between MeZO and D1 only is "
        f"{mezo.gap} points on long rows (interval {ends(mezo)}).",
        "Leaving long examples out of the backward pass costs accuracy on long rows.",
        "At the same budget, IP-SGD with checkpointing on all examples is "
        f"{everything.gap} points ahead of D1 only on long rows (interval {ends(everything)}), and "
        f"Addax-WA, whose backward pass includes them, is {wa.gap} points ahead (interval {ends(wa)}).",
        "Where short examples teach everything, we cannot show a cost.",
        "On all rows of the first versions, IP-SGD with checkpointing is "
        f"{first.gap} points from D1 only (interval {ends(first)}, corrected p {first.p}), and Addax at "
        f"alpha 0.001 is {plain.gap} points from it (interval {ends(plain)}, corrected p {plain.p}).",
        "A large alpha costs accuracy in both versions.",
        f"At alpha 0.3, Addax is {large[0].gap} points from D1 only on all rows of the first versions "
        f"(corrected p {large[0].p}) and {large[1].gap} points on those of the second (corrected p "
        f"{large[1].p}).",
    ]
    # What the sentences without numbers claim.
    assert not low.significant
    assert not mezo.significant
    gaps = {name: of("second", "long", name) for name in LINES[:5]}
    assert not any(numbers.significant for numbers in gaps.values())
    assert max(gaps, key=lambda name: gaps[name].mean) == "Addax, alpha 0.1"
    assert abs(float(score(D1)) - float(score("zero-shot"))) < 1
    assert short.significant
    assert short.mean < 0
    assert all(numbers.significant and numbers.mean > 0 for numbers in (everything, wa))
    assert not any(numbers.significant for numbers in (first, plain))
    assert all(numbers.significant and numbers.mean < 0 for numbers in large)


def interval_texts(texts):
    return [found for text in texts for found in re.findall(r"interval (\S+ to [+-][\d.]+\d)", text)]
