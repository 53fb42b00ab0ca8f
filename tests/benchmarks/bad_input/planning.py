"""Wrong words for the planner: sizes of memory, models without a configuration, lengths that are none."""

from benchmarks import models
from benchmarks.errors import UserError
from tests.benchmarks.bad_input.case import Case, Place, options

MODEL = ["plan", "--task", "sst2", "--model"]
PLAN = [*MODEL, "nano-opt", "--gpu-memory"]
FILE = [*PLAN, "8GB", "--method", "mezo", "--length-file", "{tmp}/lengths.txt"]


def words(name: str, given: list[str], *says: str) -> Case:
    """A mistake that is all in the words of the command."""
    return Case(name, given, says)


def size(text: str, *says: str) -> Case:
    """A wrong `--gpu-memory`."""
    return words(f"--gpu-memory {text!r}", [*PLAN, text], f"--gpu-memory {text}: ", *says)


def lengths(name: str, content: str | bytes, *says: str) -> Case:
    """A wrong file of lengths."""
    return Case(name, FILE, says, lambda place: place.write("lengths.txt", content))


def _unreachable(place: Place) -> None:
    def load_config(name: str) -> None:
        raise UserError(f"model {name}: cannot be read")

    place.patch.setattr(models, "load_config", load_config)


CASES = [
    size("40", "a number and one of MB, GB,", "such as 40GB or 39.4GiB"),
    size("40gb", "such as 40GB"),
    size("40 gigabytes", "such as 40GB"),
    size("0GB", "such as 40GB"),
    size("GB", "such as 40GB"),
    size("a100", "such as 40GB"),
    size("1GB", "1.50 GB is reserved", "give more"),
    words("a plan without a budget", [*MODEL, "nano-opt"], "--gpu-memory", "--help"),
    words("a plan for a misspelt method", [*PLAN, "8GB", "--method", "adax"], "did you mean 'addax'?"),
    words("a plan with a misspelt setting", [*PLAN, "8GB", *options("esp=1")], "did you mean --eps?"),
    words("a plan with what it tries", [*PLAN, "8GB", *options("length_threshold=9")], "tries"),
    words(
        "a plan with two sources of lengths",
        [*PLAN, "8GB", "--data", "builtin", "--length-file", "x"],
        "--length-file: not allowed with argument --data",
    ),
    words("tokens of lengths", [*FILE, "--tokenizer", "nano-opt"], "--tokenizer", "--length-file"),
    words("a plan for a task without rows", [*MODEL, "nano-opt", "--gpu-memory", "8GB", "--data", "{tmp}"],
          "unknown task folder 'sst2'", "--length-file FILE"),
    Case(
        "a budget below the parameters alone",
        [*MODEL, "facebook/opt-125m", "--gpu-memory", "1.6GB", "--method", "mezo", "--tokenizer", "nano-opt"],
        ("opt-125m: its parameters alone take 0.25 GB in bfloat16", "give more than 1.75 GB"),
        predicts=True,
    ),
    Case(
        "a model whose configuration cannot be had",
        [*MODEL, "someone/model", "--gpu-memory", "8GB", "--length-file", "{tmp}/lengths.txt"],
        ("someone/model", "known without the hub: facebook/opt-125m"),
        _unreachable,
    ),
    Case(
        "a plan for generation by a masked LM",
        ["plan", "--task", "squad", "--model", "FacebookAI/roberta-large", *FILE[5:]],
        ("SQuAD needs a causal model",),
    ),
    words("a plan of lengths that are not there", FILE, "{tmp}/lengths.txt", "No such file"),
    lengths("no lengths", "\n", "lengths.txt is empty", "one length in tokens per line"),
    lengths("a length in words", "12\nlong\n", "lengths.txt, line 2", "not 'long'"),
    lengths("a length of nothing", "12\n\n0\n", "lengths.txt, line 3", "not '0'"),
    lengths("lengths that are no text", b"\xff\xfe", "lengths.txt cannot be read"),
]  # fmt: skip
