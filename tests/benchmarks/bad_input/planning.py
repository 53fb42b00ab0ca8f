"""Invalid input for the planner: memory sizes, models without a configuration, and example lengths."""

from benchmarks import models
from benchmarks.errors import UserError
from tests.benchmarks.bad_input.case import Case, Sandbox, options

MODEL = ["plan", "--task", "sst2", "--model"]
PLAN = [*MODEL, "nano-opt", "--gpu-memory"]
FILE = [*PLAN, "8GB", "--method", "mezo", "--length-file", "{tmp}/lengths.txt"]


def words(name: str, argv: list[str], *expected: str) -> Case:
    """Build a case from a command line that is invalid by itself."""
    return Case(name, argv, expected)


def size(text: str, *expected: str) -> Case:
    """Build a case from an invalid `--gpu-memory`."""
    return words(f"--gpu-memory {text!r}", [*PLAN, text], f"--gpu-memory {text}: ", *expected)


def lengths(name: str, content: str | bytes, *expected: str) -> Case:
    """Build a case from an invalid file of example lengths."""
    return Case(name, FILE, expected, lambda sandbox: sandbox.write("lengths.txt", content))


def _unreachable(sandbox: Sandbox) -> None:
    def load_config(name: str, *_: bool) -> None:
        raise UserError(f"model {name}: cannot be read")

    sandbox.patch.setattr(models, "load_config", load_config)


CASES = [
    size("40", "a number and one of MB, GB,", "such as 40GB or 39.4GiB"),
    size("40gb", "such as 40GB"),
    size("40 gigabytes", "such as 40GB"),
    size("0GB", "such as 40GB"),
    size("GB", "such as 40GB"),
    size("a100", "such as 40GB"),
    size("1GB", "1.50 GB is reserved", "use more"),
    words("a plan without a budget", [*MODEL, "nano-opt"], "--gpu-memory", "--help"),
    words("a plan for a misspelled method", [*PLAN, "8GB", "--method", "adax"], "did you mean 'addax'?"),
    words("a plan with a misspelled setting", [*PLAN, "8GB", *options("esp=1")], "did you mean --eps?"),
    words("a plan with a varied option", [*PLAN, "8GB", *options("length_threshold=9")], "varies"),
    words(
        "a plan with two sources of lengths",
        [*PLAN, "8GB", "--data", "builtin", "--length-file", "x"],
        "--length-file: not allowed with argument --data",
    ),
    words("tokenizer and length file", [*FILE, "--tokenizer", "nano-opt"], "--tokenizer", "--length-file"),
    words("a plan for a task without rows", [*MODEL, "nano-opt", "--gpu-memory", "8GB", "--data", "{tmp}"],
          "unknown task folder 'sst2'", "--length-file FILE"),
    Case(
        "a budget below the parameters alone",
        [*MODEL, "facebook/opt-125m", "--gpu-memory", "1.6GB", "--method", "mezo", "--tokenizer", "nano-opt"],
        ("opt-125m: its parameters alone take 0.25 GB in bfloat16", "use more than 1.75 GB"),
        predicts=True,
        notices=1,
    ),
    Case(
        "a model whose configuration cannot be read",
        [*MODEL, "someone/model", "--gpu-memory", "8GB", "--length-file", "{tmp}/lengths.txt"],
        ("someone/model", "known without the hub: facebook/opt-125m"),
        _unreachable,
    ),
    Case(
        "a plan for generation by a masked LM",
        ["plan", "--task", "squad", "--model", "FacebookAI/roberta-large", *FILE[5:]],
        ("SQuAD needs a causal model",),
    ),
    words("a missing length file", FILE, "{tmp}/lengths.txt", "No such file"),
    lengths("an empty length file", "\n", "lengths.txt is empty", "one length in tokens per line"),
    Case(
        "a plan for short examples if all are long",
        [*FILE, *options("train_on=short long_above=9")],
        ("every training example is longer than long_above = 9 tokens (lengths 12 to 30)", "raise it"),
        lambda sandbox: sandbox.write("lengths.txt", "12\n30\n"),
    ),
    lengths("a length that is not a number", "12\nlong\n", "lengths.txt, line 2", "not 'long'"),
    lengths("a length of zero", "12\n\n0\n", "lengths.txt, line 3", "not '0'"),
    lengths("a length file that is not text", b"\xff\xfe", "lengths.txt cannot be read"),
]  # fmt: skip
