"""Learning-rate trials for `real`: SmolLM2-135M on SST-2 at the full budget, rates a factor of 3 apart."""

from importlib.util import find_spec
from typing import Any

from benchmarks.config.spec import RunSpec, from_dict

MODEL, TUNED_ON, SEED = "smollm2-135m", "sst2", 100
# Budgets in forward equivalents: an example in a forward pass counts 1, and in a backward pass 2 more. On
# SST-2 and TREC it is 150 steps of MeZO, 200 of Addax or Adam, and 400 of IP-SGD.
BUDGET = {"sst2": 4800, "trec": 4800, "squad": 1600}
# The longest quarter of a task's rows is Addax's D0. The batch sizes are the papers': K0 = 6 and K1 = 4 for
# Addax, 16 for MeZO, 8 for Adam, and 64 for MeZO-SVRG. IP-SGD uses Addax's K1.
L_T = "q0.75"
ADDAX = {"method": "addax", "alpha": 1e-3, "zo_batch_size": 6, "fo_batch_size": 4}
MEZO = {"method": "mezo", "zo_batch_size": 16}
ADAM = {"method": "adam", "fo_batch_size": 8}
METHODS: dict[str, dict[str, Any]] = {
    "Addax": ADDAX | {"length_threshold": L_T},
    "Addax (D1 only)": ADDAX | {"length_threshold": L_T, "alpha": 0.0, "zo_batch_size": 0},
    "Addax-WA": ADDAX | {"length_threshold": None},
    "MeZO": MEZO,
    # MeZO's own eps for LoRA (arXiv 2305.17333, appendix).
    "MeZO (LoRA)": MEZO | {"trainable": "lora:8", "eps": 1e-2},
    # The two passes over the training rows of a full-batch step take 2,000 of the budget. A second one would
    # leave nothing for minibatch steps.
    "MeZO-SVRG": {"method": "mezo-svrg", "zo_batch_size": 64, "anchor_every": 20, "lr_ratio": 1.0},
    "IP-SGD": {"method": "ip-sgd", "fo_batch_size": 4},
    "Adam": ADAM,
    "8-bit Adam": ADAM | {"method": "adam8bit"},
    "Adam (LoRA)": ADAM | {"trainable": "lora:8"},
}
RATES: dict[str, tuple[float, ...]] = {
    "Addax": (1e-4, 3e-4, 1e-3, 3e-3),
    "Addax (D1 only)": (1e-4, 3e-4, 1e-3, 3e-3),
    "Addax-WA": (1e-4, 3e-4, 1e-3, 3e-3),
    "MeZO": (1e-5, 3e-5, 1e-4, 3e-4),
    "MeZO (LoRA)": (1e-3, 3e-3, 1e-2, 3e-2),
    "MeZO-SVRG": (1e-5, 3e-5, 1e-4, 3e-4),
    "IP-SGD": (1e-4, 3e-4, 1e-3, 3e-3),
    "Adam": (1e-5, 3e-5, 1e-4, 3e-4),
    "8-bit Adam": (1e-5, 3e-5, 1e-4, 3e-4),
    "Adam (LoRA)": (1e-4, 3e-4, 1e-3, 3e-3),
}
# Building a run of 8-bit Adam needs bitsandbytes. Without it, the suites leave these runs out.
if find_spec("bitsandbytes") is None:
    del METHODS["8-bit Adam"], RATES["8-bit Adam"]
# The four validations of a run choose the weights that are tested. SQuAD has fewer rows, because evaluating
# generated answers is slow on a CPU.
VALIDATION_ROWS = {"sst2": 200, "trec": 200, "squad": 64}
TRAIN_ROWS, EVALUATIONS = 1000, 4
# The test scores of trials are not used.
TEST_ROWS = 20


def run_of(label: str, task: str, seed: int) -> dict[str, Any]:
    """Return the values of one run without its learning rate; the seed also draws rows and batches."""
    budget = {"forward_equivalents": BUDGET[task], "schedule": "linear", "evaluations": EVALUATIONS}
    return data_of(task, seed) | budget | METHODS[label]


def data_of(task: str, seed: int) -> dict[str, Any]:
    """Return the model and the rows of a run, whether it trains or not."""
    where = {"model": MODEL, "task": task, "data": "folder", "seed": seed, "data_seed": seed}
    return where | {"train_rows": TRAIN_ROWS, "validation_rows": VALIDATION_ROWS[task]}


def specs() -> list[RunSpec]:
    """Return a run for each method and learning rate."""
    return [spec for label in METHODS for spec in specs_of(label)]


def specs_of(label: str) -> list[RunSpec]:
    """Return a run for each learning rate of one method."""
    values = run_of(label, TUNED_ON, SEED) | {"test_rows": TEST_ROWS}
    return [from_dict(values | {"lr": lr}) for lr in RATES[label]]
