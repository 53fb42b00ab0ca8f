"""Addax, RoBERTa-large with 16 and 512 shots, five seeds: every method, with as many trials each."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _roberta
from benchmarks.suites.papers._addax import RECALLED
from benchmarks.suites.papers._mezo import SOURCE
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

TRIALS = "three trials of every method"
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="the tables of RoBERTa-large",
    model=None,
    settings=(
        Setting(SUITE, "methods", ("zero-shot", "mezo", "sgd", "ip-sgd", "adam", "addax"), "R", RECALLED),
        Setting(SUITE, "hardware", "one card of 24 GB", "ours", "the fewest that all methods fit on"),
        *_roberta.COMMON,
        Setting("mezo", "steps", 100_000, "V", SOURCE),
        Setting("mezo", "zo_batch_size", 64, "V", SOURCE),
        Setting(
            ("mezo", "sgd", "ip-sgd", "adam", "addax"),
            "evaluations",
            10,
            "ours",
            "ten checkpoints to choose from",
        ),
        Setting("mezo", "eps", 1e-3, "V", SOURCE),
        Setting("mezo", "lr", (1e-7, 1e-6, 1e-5), "V", f"{SOURCE}; {TRIALS}"),
        Setting(("sgd", "ip-sgd", "adam", "addax"), "steps", 1000, "R", RECALLED),
        Setting(
            ("sgd", "ip-sgd"), "fo_batch_size", 16, "ours", "as many examples in a backward pass as Addax's"
        ),
        Setting(("sgd", "ip-sgd"), "lr", (1e-4, 1e-3, 1e-2), "V", f"SGD's range in {SOURCE}; {TRIALS}"),
        Setting("adam", "fo_batch_size", 8, "V", f"the batch that both of its grids have in {SOURCE}"),
        Setting("adam", "schedule", "linear", "R", "as for OPT [V]; for RoBERTa no source at hand"),
        Setting("adam", "lr", (1e-5, 3e-5, 5e-5), "V", f"{SOURCE}; {TRIALS}"),
        Setting("addax", "zo_batch_size", 48, "R", RECALLED),
        Setting("addax", "fo_batch_size", 16, "R", RECALLED),
        Setting("addax", "length_threshold", None, "R", "no text is long: Addax-WA"),
        Setting("addax", "eps", 1e-3, "R", RECALLED),
        Setting("addax", "alpha", 1e-3, "V", "what a later code of an author has unless told otherwise"),
        Setting("addax", "lr", (1e-4, 1e-3, 1e-2), "ours", f"SGD's; {TRIALS}"),
    ),
)


def specs() -> list[RunSpec]:
    """Zero-shot, and three trials of five methods, on each task, with each number of shots and each seed."""
    return _roberta.possible(runs(PAPER))
