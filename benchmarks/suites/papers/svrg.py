"""MeZO-SVRG, GLUE tables: five models, full and partial tuning, with the paper's and the released variant."""

from typing import Any

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

SOURCE = "arXiv 2404.08080"
LARGE = ("openai-community/gpt2-xl", "facebook/opt-2.7b", "facebook/opt-6.7b")
BATCH = 64
# The budget equals this many steps of MeZO, each of which takes two forward passes over a batch.
MEZO_STEPS = 24_000
GROUPS = ("mezo", "svrg", "svrg-released", "sgd")
PAPER = Paper(
    paper="MeZO-SVRG",
    arxiv="2404.08080",
    shows="the GLUE tables",
    model=None,
    settings=(
        Setting(
            SUITE, "methods", GROUPS, "V", "the paper's baselines; `released` is the variant in its code"
        ),
        Setting(SUITE, "hardware", "one 80 GB GPU", "ours", "holds OPT-6.7B and its gradients"),
        Setting(
            "all",
            "model",
            ("distilbert/distilbert-base-cased", "FacebookAI/roberta-large", *LARGE),
            "V",
            SOURCE,
        ),
        Setting("all", "task", ("mnli", "qnli", "sst2", "cola"), "V", SOURCE),
        Setting("all", "head", "classification", "V", f"{SOURCE}: no prompts"),
        Setting(
            "all",
            "trainable",
            ("all", "last:2"),
            "V",
            f"{SOURCE}: full and partial; two layers are our choice",
        ),
        Setting(
            "all", "data", "hub", "ours", "the Parquet copies of the public data; a local folder also works"
        ),
        Setting("all", "train_rows", 512, "V", SOURCE),
        Setting("all", "validation_rows", 256, "V", SOURCE),
        Setting("all", "test_rows", 1000, "ours", "from the public validation split"),
        Setting("all", "seed", 0, "ours", "one sample of rows"),
        Setting(
            GROUPS,
            "forward_equivalents",
            2 * BATCH * MEZO_STEPS,
            "ours",
            f"equal for all methods: the cost of {MEZO_STEPS:,} MeZO steps",
        ),
        Setting(GROUPS, "metric", "accuracy", "V", f"{SOURCE}: accuracy on every task", {"task": ("cola",)}),
        Setting(GROUPS, "evaluations", 10, "ours", "ten checkpoints to select from"),
        Setting(GROUPS, "dtype", "float32", "ours", "the smaller models"),
        Setting(GROUPS, "dtype", "bfloat16", "ours", "the larger ones", {"model": LARGE}),
        Setting(("mezo", "svrg", "svrg-released"), "zo_batch_size", BATCH, "V", SOURCE),
        Setting(("mezo", "svrg", "svrg-released"), "eps", 1e-3, "V", SOURCE),
        Setting(
            "mezo", "lr", (1e-6, 1e-5, 3e-5, 1e-4), "V", f"{SOURCE}: 1e-6 to 1e-4; four trials per method"
        ),
        Setting(("svrg", "svrg-released"), "method", "mezo-svrg", "V", SOURCE),
        Setting("svrg", "variant", "paper", "V", SOURCE),
        Setting("svrg-released", "variant", "released", "V", "its published code"),
        Setting(("svrg", "svrg-released"), "anchor_every", 2, "V", SOURCE),
        Setting(("svrg", "svrg-released"), "lr", (1e-4, 1e-5), "V", SOURCE),
        Setting(("svrg", "svrg-released"), "eta2", (1e-5, 1e-6), "V", SOURCE),
        Setting("sgd", "fo_batch_size", BATCH, "V", SOURCE),
        Setting("sgd", "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", "four trials per method"),
    ),
)


def derive(values: dict[str, Any]) -> dict[str, Any]:
    """Replace eta2, the learning rate of minibatch steps, by the ratio `lr_ratio` that MeZOSVRG takes."""
    values = dict(values)
    if "eta2" in values:
        # Round to a decimal ratio, because both learning rates are decimal.
        values["lr_ratio"] = float(f"{values.pop('eta2') / values['lr']:.6g}")
    return values


def specs() -> list[RunSpec]:
    """Return four trials of four methods for each model, task, and set of trained parameters."""
    return runs(PAPER, derive)
