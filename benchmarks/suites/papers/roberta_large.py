"""Addax, tables of RoBERTa-large: every method, 16 and 512 shots, five seeds, three trials per method."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _roberta
from benchmarks.suites.papers._addax import RECALLED
from benchmarks.suites.papers._mezo import SOURCE
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

TRIALS = "three trials per method"
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="the tables of RoBERTa-large",
    model=None,
    settings=(
        Setting(SUITE, "methods", ("zero-shot", "mezo", "sgd", "ip-sgd", "adam", "addax"), "R", RECALLED),
        Setting(SUITE, "hardware", "one 24 GB GPU", "ours", "the smallest GPU on which all methods fit"),
        *_roberta.COMMON,
        Setting("mezo", "steps", 100_000, "V", SOURCE),
        Setting("mezo", "zo_batch_size", 64, "V", SOURCE),
        Setting(
            ("mezo", "sgd", "ip-sgd", "adam", "addax"),
            "evaluations",
            10,
            "ours",
            "ten checkpoints to select from",
        ),
        Setting("mezo", "eps", 1e-3, "V", SOURCE),
        Setting("mezo", "lr", (1e-7, 1e-6, 1e-5), "V", f"{SOURCE}; {TRIALS}"),
        Setting(("sgd", "ip-sgd", "adam", "addax"), "steps", 1000, "R", RECALLED),
        Setting(
            ("sgd", "ip-sgd"), "fo_batch_size", 16, "ours", "as many examples per backward pass as Addax"
        ),
        Setting(("sgd", "ip-sgd"), "lr", (1e-4, 1e-3, 1e-2), "V", f"SGD's range in {SOURCE}; {TRIALS}"),
        Setting(
            "adam", "fo_batch_size", 8, "V", f"the batch size that both of its grids in {SOURCE} contain"
        ),
        Setting("adam", "schedule", "linear", "R", "the same as for OPT [V]; not verified for RoBERTa"),
        Setting("adam", "lr", (1e-5, 3e-5, 5e-5), "V", f"{SOURCE}; {TRIALS}"),
        Setting("addax", "zo_batch_size", 48, "R", RECALLED),
        Setting("addax", "fo_batch_size", 16, "R", RECALLED),
        Setting("addax", "length_threshold", None, "R", "no text is long, so Addax-WA"),
        Setting("addax", "eps", 1e-3, "R", RECALLED),
        Setting("addax", "alpha", 1e-3, "V", "default of later code by one of the authors"),
        Setting("addax", "lr", (1e-4, 1e-3, 1e-2), "ours", f"SGD's grid; {TRIALS}"),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and three trials of five methods, for each task, number of shots, and seed."""
    return _roberta.possible(runs(PAPER))
