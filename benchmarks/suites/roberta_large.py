"""Addax, RoBERTa-large with 16 and 512 shots, five seeds: every method, with as many trials each."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites import _roberta
from benchmarks.suites._addax import RECALLED
from benchmarks.suites._mezo import SOURCE
from benchmarks.suites._paper import Paper, Stated, runs

TRIALS = "three trials of every method"
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="the tables of RoBERTa-large",
    model=None,
    stated=(
        Stated("methods", ("zero-shot", "mezo", "sgd", "ip-sgd", "adam", "addax"), "R", RECALLED),
        Stated("hardware", "one card of 24 GB", "ours", "the fewest that all methods fit on"),
        *_roberta.COMMON,
        Stated("mezo.steps", 100_000, "V", SOURCE),
        Stated("mezo.zo_batch_size", 64, "V", SOURCE),
        Stated("mezo,sgd,ip-sgd,adam,addax.evaluations", 10, "ours", "ten checkpoints to choose from"),
        Stated("mezo.eps", 1e-3, "V", SOURCE),
        Stated("mezo.lr", (1e-7, 1e-6, 1e-5), "V", f"{SOURCE}; {TRIALS}"),
        Stated("sgd,ip-sgd,adam,addax.steps", 1000, "R", RECALLED),
        Stated("sgd,ip-sgd.fo_batch_size", 16, "ours", "as many examples in a backward pass as Addax's"),
        Stated("sgd,ip-sgd.lr", (1e-4, 1e-3, 1e-2), "V", f"SGD's range in {SOURCE}; {TRIALS}"),
        Stated("adam.fo_batch_size", 8, "V", f"the batch that both of its grids have in {SOURCE}"),
        Stated("adam.schedule", "linear", "R", "as for OPT [V]; for RoBERTa no source at hand"),
        Stated("adam.lr", (1e-5, 3e-5, 5e-5), "V", f"{SOURCE}; {TRIALS}"),
        Stated("addax.zo_batch_size", 48, "R", RECALLED),
        Stated("addax.fo_batch_size", 16, "R", RECALLED),
        Stated("addax.length_threshold", None, "R", "no text is long: Addax-WA"),
        Stated("addax.eps", 1e-3, "R", RECALLED),
        Stated("addax.alpha", 1e-3, "V", "what a later code of an author has unless told otherwise"),
        Stated("addax.lr", (1e-4, 1e-3, 1e-2), "ours", f"SGD's; {TRIALS}"),
    ),
)


def specs() -> list[RunSpec]:
    """Zero-shot, and three trials of five methods, on each task, with each number of shots and each seed."""
    return _roberta.possible(runs(PAPER))
