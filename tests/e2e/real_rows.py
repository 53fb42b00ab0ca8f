"""The committed rows of suites `real` and `real-costs` as numbers, read without the code of the suite."""

import json
from collections import defaultdict

import numpy as np

from benchmarks.registry import ROOT

OTHERS = ("Addax (D1 only)", "MeZO", "IP-SGD", "Adam", "Adam (LoRA)")
# Forward equivalents of the whole run and of a step.
BUDGET = 4800
PER_STEP = {"Addax": 24, "Addax (D1 only)": 12, "MeZO": 32, "IP-SGD": 12, "Adam": 24, "Adam (LoRA)": 24}


def read(suite):
    return [json.loads(text) for text in (ROOT / f"results/reference/{suite}.jsonl").read_text().splitlines()]


def scores():
    """Return label -> (task, seed) -> score."""
    found = defaultdict(dict)
    for row in read("real"):
        found[row["label"]][row["config"]["task"], row["config"]["seed"]] = row["score"]
    return found


def difference(found, label):
    """Return the scores of a method minus those of Addax, over the pairs that both have."""
    return np.array([found[label][pair] - found["Addax"][pair] for pair in sorted(found["Addax"])])


def costs():
    """Return task -> label -> (peak in GB, seconds of a step)."""
    found = defaultdict(dict)
    for row in read("real-costs"):
        found[row["config"]["task"]][row["label"]] = row["peak_bytes"] / 1e9, row["step_seconds"]
    return found
