"""Every sentence of the answers on the page about real weights, recomputed from the committed rows."""

import re

import pytest

from benchmarks.registry import ROOT
from tests.e2e import page_sentences, real_rows
from tests.e2e.exact_tests import holm, p_value

PAGE = (ROOT / "docs" / "results" / "real-weights.md").read_text()
SECTION = re.search(r"## Answers\n(.*?)\n## ", PAGE, re.S)[1]


@pytest.fixture(scope="module")
def scores():
    return real_rows.scores()


def test_every_sentence_follows_from_the_rows(scores):
    gaps = {label: real_rows.difference(scores, label) for label in real_rows.OTHERS}
    d1, mezo, ip_sgd, adam, lora = (f"{100 * gap.mean():+.1f}" for gap in gaps.values())
    costs = real_rows.costs()
    gb = {label: f"{peak:.2f}" for label, (peak, _) in costs.items()}
    minutes = {label: f"{time:.1f}" for label, (_, time) in costs.items()}
    assert page_sentences.sentences(SECTION) == [
        "No difference is significant yet.",
        "Each comparison has three pairs of runs, and significance takes eight.",
        "Three pairs have no 95 % interval either.",
        "In all three pairs, Addax is ahead of MeZO.",
        f"The mean difference of MeZO from Addax is {mezo} points.",
        "In all three pairs, Addax is behind D1 only, IP-SGD, Adam, and Adam with LoRA.",
        f"The mean differences from Addax are {d1}, {ip_sgd}, {adam}, and {lora} points.",
        "D1 only is Addax without its zeroth-order part, and takes twice the steps at the same budget.",
        "Among these methods, MeZO needs the least memory, and Adam the most.",
        f"The peaks are {gb['MeZO']} GB for MeZO, {gb['IP-SGD (checkpointing)']} for IP-SGD with "
        f"checkpointing, {gb['Addax (D1 only)']} for D1 only, {gb['IP-SGD']} for IP-SGD, {gb['Addax']} for "
        f"Addax, {gb['Adam (LoRA)']} for Adam with LoRA, and {gb['Adam']} for Adam.",
        f"A run takes {minutes['Addax']} minutes with Addax, {minutes['MeZO']} with MeZO, "
        f"{minutes['Adam']} with Adam, {minutes['Addax (D1 only)']} with D1 only, {minutes['IP-SGD']} with "
        f"IP-SGD, and {minutes['Adam (LoRA)']} with Adam and LoRA.",
    ]
    assert {len(gap) for gap in gaps.values()} == {3}
    assert min(holm({label: p_value(gap) for label, gap in gaps.items()}).values()) > 0.05
    # Five comparisons of n pairs can be significant if 5 x 2 / 2^n is below 5 %.
    assert 5 * 2 / 2**8 < 0.05 < 5 * 2 / 2**7
    assert (gaps["MeZO"] < 0).all()
    assert all((gap > 0).all() for label, gap in gaps.items() if label != "MeZO")
    peaks = {label: costs[label][0] for label in ("Addax", *real_rows.OTHERS, "IP-SGD (checkpointing)")}
    assert real_rows.PER_STEP["Addax"] == 2 * real_rows.PER_STEP["Addax (D1 only)"]
    assert peaks["MeZO"] == min(peaks.values())
    assert peaks["Adam"] == max(peaks.values())


def test_every_run_has_the_budget_and_the_steps_that_the_sentences_assume():
    for row in real_rows.read("real"):
        if row["label"] in real_rows.PER_STEP and row["config"]["task"] == "sst2":
            assert row["config"]["forward_equivalents"] == real_rows.BUDGET
            assert row["curve"][-1]["step"] == real_rows.BUDGET / real_rows.PER_STEP[row["label"]]
