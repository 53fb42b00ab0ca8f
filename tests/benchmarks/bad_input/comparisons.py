"""Invalid command lines of `compare`."""

from tests.benchmarks.bad_input.case import Case, Sandbox, options

COMPARE = ["compare", "--model", "nano-opt", "--task", "sst2", "--data", "builtin", "--device", "cpu"]
BUDGET = ["--budget", "forward-equivalents=64"]
ALL = [*COMPARE, *BUDGET]


def words(name: str, argv: list[str], *expected: str) -> Case:
    """Build a case from a command line that is invalid by itself."""
    return Case(name, argv, expected)


def another(sandbox: Sandbox) -> None:
    """Write a comparison with other arguments under the name "mine"."""
    sandbox.write("results/runs/mine/suite.py", 'ARGUMENTS = {"seeds": 7}\n')


CASES = [
    words("a comparison without a budget", COMPARE, "--budget", "--help"),
    words("a comparison without a task", [*COMPARE[:3], *BUDGET], "--task"),
    words(
        "a misspelled budget of a comparison",
        [*COMPARE, "--budget", "forward-equivalent=64"],
        "did you mean 'forward-equivalents'?",
    ),
    words("a misspelled method to compare", [*ALL, "--methods", "addax,mezzo"], "did you mean 'mezo'?"),
    words("no method to compare", [*ALL, "--methods", ","], "--methods needs the name of a method"),
    words("zero-shot to compare", [*ALL, "--methods", "zero-shot"], "which every comparison includes"),
    words("a comparison without seeds", [*ALL, "--seeds", "0"], "--seeds must be at least 1, not 0"),
    words("a comparison with a seed", [*ALL, "--seed", "1"], "unknown option --seed", "--seeds"),
    words(
        "an amount of memory without a unit", [*ALL, "--memory", "24"], "--memory 24: use a number and one"
    ),
    words(
        "two ways to choose the length threshold of a comparison",
        [*ALL, "--memory", "24GB", *options("length_threshold=auto:24GB")],
        "--memory and --length-threshold auto:... both choose L_T",
    ),
    words("a comparison named like a suite", [*ALL, "--name", "quick"], "there is a suite of this name"),
    words("a comparison with a path as its name", [*ALL, "--name", "a/b"], "use only letters, digits"),
    words("a center without a rate", [*ALL, "--center", "mezo"], "--center must be METHOD=RATE", "'mezo'"),
    words(
        "a center of another method",
        [*ALL, "--methods", "adam", "--center", "mezo=1e-3"],
        "with a compared method, not 'mezo=1e-3'",
    ),
    words(
        "a setting of no compared method",
        [*ALL, "--methods", "adam", *options("alpha=1e-2")],
        "no compared method takes alpha: it is a setting of addax",
    ),
    words("a learning rate to compare", [*ALL, "--lr", "1e-3"], "--lr: trials determine the learning rate"),
    words("steps to compare", [*ALL, "--steps", "9"], "--steps: use --budget steps=AMOUNT"),
    Case(
        "a comparison that fits nowhere",
        [*ALL, "--methods", "mezo,adam", "--memory", "1MB"],
        ("no method fits in 1MB: with single rows the smallest needs", "MB; use more memory"),
        predicts=True,
        notices=2,
    ),
    Case(
        "a comparison with other arguments",
        [*ALL, "--methods", "mezo", "--name", "mine"],
        ("is a comparison with other arguments", "choose another --name, or remove"),
        setup=another,
    ),
]
