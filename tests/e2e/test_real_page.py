"""Every sentence of the answers on the page about real weights, recomputed from the committed rows."""

import re

import pytest

from benchmarks.registry import ROOT
from tests.e2e import page_sentences, real_rows
from tests.e2e.exact_tests import assert_interval, holm, p_value

PAGE = (ROOT / "docs" / "results" / "real-weights.md").read_text()
COMPARED = ("Addax", *real_rows.OTHERS, "IP-SGD (checkpointing)")
# The methods whose intervals the sentences show, in the order of the text.
INTERVALS = ("MeZO", "Addax (D1 only)", "IP-SGD", "Adam", "Adam (LoRA)")
SECTION = re.search(r"## Answers\n(.*?)\n## ", PAGE, re.S)[1]


@pytest.fixture(scope="module")
def scores():
    return real_rows.scores()


def test_every_sentence_follows_from_the_rows(scores):
    gaps = {label: real_rows.difference(scores, label) for label in real_rows.OTHERS}
    d1, mezo, ip_sgd, adam, lora = (f"{100 * gap.mean():+.1f}" for gap in gaps.values())
    shown = re.findall(r"interval (\S+ to \S+\d)", " ".join(page_sentences.sentences(SECTION)))
    costs = real_rows.costs()
    peaks = {
        task: {label: peak for label, (peak, _) in costs[task].items() if label in COMPARED}
        for task in ("sst2", "trec", "squad")
    }
    gb = {label: f"{peak:.2f}" for label, peak in peaks["squad"].items()}
    minutes = {
        label: real_rows.BUDGET / of_step * costs["sst2"][label][1] / 60
        for label, of_step in real_rows.PER_STEP.items()
    }
    takes = {label: f"{time:.1f}" for label, time in minutes.items()}
    assert page_sentences.sentences(SECTION) == [
        "No difference is significant yet.",
        "Each comparison has six pairs of runs, and significance takes eight.",
        "The interval of a single comparison is not corrected for the number of comparisons, so it can "
        "exclude zero.",
        "In all six pairs, Addax is ahead of MeZO.",
        f"The mean difference of MeZO from Addax is {mezo} points (95 % interval {shown[0]}).",
        "In all six pairs, Addax is behind D1 only, IP-SGD, Adam, and Adam with LoRA.",
        f"The mean differences from Addax are {d1} points (interval {shown[1]}) for D1 only, {ip_sgd} "
        f"(interval {shown[2]}) for IP-SGD, {adam} (interval {shown[3]}) for Adam, and {lora} (interval "
        f"{shown[4]}) for Adam with LoRA.",
        "D1 only is Addax without its zeroth-order part, and takes twice the steps at the same budget.",
        "Among these methods, MeZO needs the least memory, and Adam the most.",
        "This holds on short rows and on long ones.",
        f"On the long rows of SQuAD, the peaks are {gb['MeZO']} GB for MeZO, {gb['IP-SGD (checkpointing)']} "
        f"for IP-SGD with checkpointing, {gb['Addax']} for Addax, {gb['Addax (D1 only)']} for D1 only, "
        f"{gb['IP-SGD']} for IP-SGD, {gb['Adam (LoRA)']} for Adam with LoRA, and {gb['Adam']} for Adam.",
        "Addax needs less memory than IP-SGD on long rows, and IP-SGD with checkpointing needs less still.",
        "On SST-2 and TREC, whose rows are short, these three need about the same.",
        "Addax with checkpointing was not measured.",
        "At the same budget, Addax and MeZO take the most time.",
        f"A run on SST-2 takes {takes['Addax']} minutes with Addax, {takes['MeZO']} with MeZO, "
        f"{takes['Adam']} with Adam, {takes['Addax (D1 only)']} with D1 only, {takes['IP-SGD']} with "
        f"IP-SGD, and {takes['Adam (LoRA)']} with Adam and LoRA.",
    ]
    assert {len(gap) for gap in gaps.values()} == {6}
    assert min(holm({label: p_value(gap) for label, gap in gaps.items()}).values()) > 0.05
    # Five comparisons of n pairs can be significant if 5 x 2 / 2^n is below 5 %.
    assert 5 * 2 / 2**8 < 0.05 < 5 * 2 / 2**7
    assert (gaps["MeZO"] < 0).all()
    assert all((gap > 0).all() for label, gap in gaps.items() if label != "MeZO")
    for interval, label in zip(shown, INTERVALS, strict=True):
        assert_interval(interval, gaps[label])
    assert real_rows.PER_STEP["Addax"] == 2 * real_rows.PER_STEP["Addax (D1 only)"]
    for of_task in peaks.values():
        assert of_task["MeZO"] == min(of_task.values())
        assert of_task["Adam"] == max(of_task.values())
    squad = peaks["squad"]
    assert squad["IP-SGD (checkpointing)"] < squad["Addax"] < squad["IP-SGD"]
    for task in ("sst2", "trec"):
        three = [peaks[task][label] for label in ("IP-SGD (checkpointing)", "Addax", "IP-SGD")]
        assert max(three) < 1.05 * min(three)
    slowest = sorted(minutes, key=minutes.get)[-2:]
    assert set(slowest) == {"Addax", "MeZO"}
    assert not any(
        row["label"].startswith("Addax") and row["config"]["gradient_checkpointing"]
        for row in real_rows.read("real-costs")
    )


def test_every_run_has_the_budget_and_the_steps_that_the_sentences_assume():
    for row in real_rows.read("real"):
        if row["label"] in real_rows.PER_STEP:
            assert row["config"]["task"] in ("sst2", "trec")
            assert row["config"]["forward_equivalents"] == real_rows.BUDGET
            assert row["curve"][-1]["step"] == real_rows.BUDGET / real_rows.PER_STEP[row["label"]]
