"""Invalid command lines: unknown names, invalid values, and invalid combinations."""

import sys
from collections.abc import Callable

from tests.benchmarks.bad_input.case import ADDAX, RUN, Case, Sandbox, options

MASKED = ["run", "--method", "addax", "--model", "nano-roberta", "--data", "builtin"]
MEZO = [*RUN, "--method", "mezo"]
ADAM = [*RUN, "--method", "adam"]
OPT13B = ["run", "--method", "addax", "--model", "facebook/opt-13b", "--task", "sst2"]
CLUSTER = ["--executor", "ray", "--ray-address", "127.0.0.1:9", "--only", "task=sst2", "method=sgd"]


def words(name: str, argv: list[str], *expected: str) -> Case:
    """Build a case from a command line that is invalid by itself."""
    return Case(name, argv, expected)


def setting(settings: str, *expected: str) -> Case:
    """Build a case from settings of Addax on nano-opt and SST-2 that are invalid, alone or together."""
    return words(settings, [*ADDAX, *options(settings)], *expected)


NAMES = [
    words("no command", [], "COMMAND", "--help"),
    words("a misspelled command", ["swep", "quick"], "'swep'", "did you mean 'sweep'?"),
    words("a misspelled option", [*ADDAX, "--sede", "1"], "unknown option --sede", "did you mean --seed?"),
    words("no method", ["run", "--model", "nano-opt", "--task", "sst2"], "--method", "--help"),
    words("no model", ["run", "--method", "addax", "--task", "sst2"], "--model"),
    words("no task", ["run", "--method", "addax", "--model", "nano-opt"], "--task"),
    words("a misspelled method", [*RUN, "--method", "adax"], "did you mean 'addax'?"),
    words("a misspelled task", [*ADDAX, "--task", "sts2"], "unknown task 'sts2'", "did you mean 'sst2'?"),
    words("an empty task", [*ADDAX, "--task", ""], "unknown task ''"),
    words("a misspelled model", [*ADDAX, "--model", "nano-op"], "did you mean 'nano-opt'?"),
    words("a missing model folder", [*ADDAX, "--model", "./mine"], "./mine: no such folder"),
    words("a misspelled suite", ["sweep", "quik"], "did you mean 'quick'?"),
    words("a misspelled suite to report", ["report", "quik"], "did you mean 'quick'?"),
    words("a misspelled setting", [*ADDAX, *options("alhpa=1")], "did you mean --alpha?"),
    words("a misspelled dtype", [*ADDAX, "--dtype", "fp16"], "unknown dtype 'fp16'", "float16"),
    words("a misspelled metric", [*ADDAX, "--metric", "mathews"], "did you mean 'matthews'?"),
    words(
        "a metric of classes for generated answers",
        [*ADDAX, "--task", "squad", "--metric", "matthews"],
        "task squad cannot be scored with matthews, only with f1: leave out metric",
    ),
    words("a misspelled device", [*ADDAX, "--device", "gpu"], "--device gpu", "cpu, cuda, cuda:N, or auto"),
    words("a missing data folder", [*ADDAX, "--data", "/no/such"], "--data /no/such", "builtin, or hub"),
    words("a filter on an unknown key", ["sweep", "quick", "--only", "methd=sgd"], "did you mean 'method'?"),
    words(
        "a filter that matches nothing", ["sweep", "quick", "--only", "method=addx"], "did you mean 'addax'?"
    ),
    words("a filter without values", ["sweep", "quick", "--only", "method"], "--only must be KEY=A,B"),
    words("a misspelled budget", ["sweep", "quick", "--budget", "step=5"], "did you mean 'steps'?"),
    words(
        "a budget without an amount",
        ["sweep", "quick", "--budget", "steps="],
        "--budget must be NAME=AMOUNT",
    ),
    words(
        "a fractional number of steps",
        ["sweep", "quick", "--budget", "steps=0.5"],
        "must be a whole number, not '0.5'",
    ),
    words(
        "a budget of zero seconds",
        ["sweep", "quick", "--budget", "seconds=0"],
        "--budget seconds must be positive",
    ),
    words(
        "an infinite budget",
        ["sweep", "quick", "--budget", "seconds=inf"],
        "--budget seconds must be positive",
    ),
    words("zero workers", ["sweep", "quick", "--jobs", "0"], "--jobs must be at least 1, not 0"),
    words("a fractional number of workers", ["sweep", "quick", "--jobs", "1.5"], "--jobs", "'1.5'"),
    words(
        "a revision of several data sets",
        ["sweep", "opt-13b", "--data", "hub", "--data-revision", "v1"],
        "needs runs of one data set, not of aps/super_glue, nyu-mll/glue, rajpurkar/squad: select them",
    ),
    words(
        "a revision of built-in data",
        ["sweep", "quick", "--data-revision", "v1"],
        "data_revision=v1 needs data=hub",
    ),
    words("a misspelled model to fetch", ["fetch", "smollm2"], "did you mean 'smollm2-135m'?"),
    words("a misspelled executor", ["sweep", "quick", "--executor", "rai"], "did you mean 'ray'?"),
    words(
        "a cluster without --executor ray",
        ["sweep", "quick", "--ray-address", "auto"],
        "needs --executor ray",
    ),
    words("an unreachable cluster", ["sweep", "quick", *CLUSTER], "127.0.0.1:9"),
    words("a misspelled wandb mode", [*ADDAX, "--wandb", "ofline"], "did you mean 'offline'?"),
    words(
        "a suite name that is a path",
        [*ADDAX, "--suite", "../elsewhere"],
        "--suite '../elsewhere'",
        "letters",
    ),
    words("a hub model without settings", OPT13B, "needs lr", "--lr", "--steps"),
    words("a setting by another name", [*ADDAX, "--learning-rate", "1"], "did you mean --lr?"),
    words("an abbreviated option", [*ADDAX, "--leng", "9"], "unknown option --leng"),
    words(
        "a setting without its method", ["run", "--alpha", "1"], "--alpha is a setting of addax", "--method"
    ),
    words("a misspelled name to explain", ["list", "adax"], "did you mean 'addax'?"),
    words("a misspelled study", ["study", "lenghts"], "did you mean 'lengths'?"),
    words("no study", ["study"], "NAME", "--help"),
    words("a misspelled option of a study", ["study", "lengths", "--modle", "x"], "did you mean --model?"),
    words(
        "a study with zero repeats", ["study", "step-speed", "--repeats", "0"], "--repeats must be at least 1"
    ),
    words("a misspelled nano model", ["pretrain", "nano-op"], "did you mean 'nano-opt'?"),
    words(
        "a shard beyond the last", ["sweep", "quick", "--shard", "3/2"], "--shard must be I/N", "not '3/2'"
    ),
    words(
        "zero minutes between checkpoints", [*ADDAX, "--checkpoint-minutes", "0"], "must be a positive number"
    ),
    words("a misspelled figure", ["plots", "figur1"], "did you mean 'figure1'?"),
    words("no figure", ["plots"], "NAME", "--help"),
    words("a figure of an unknown suite", ["plots", "figure1", "--suite", "quik"], "did you mean 'quick'?"),
    words("a figure of zero width", ["plots", "figure1", "--width", "0"], "--width must be positive, not 0"),
    words("a font size of NaN", ["plots", "figure1", "--font-size", "nan"], "--font-size must be positive"),
    words("a misspelled format", ["plots", "figure1", "--format", "pgn"], "did you mean 'png'?"),
]
# These cases depend on how settings are spelled as options; see `options`.
SPELLING = [
    words("a setting without a value", [*ADDAX, "--alpha"], "--alpha", "expected one argument", "--help"),
    words("a switch with a value", [*ADDAX, "--dropout", "0"], "unrecognized arguments: 0", "--help"),
    setting("lr=1 lr=2", "--lr is given twice"),
    setting("settings=1", "unknown option --settings"),
    setting("lr=", "lr must be a number, not ''"),
]
VALUES = [
    setting("lr=none", "lr must be a number"),
    setting("lr=-1", "lr must be in [0, inf), not -1"),
    setting("lr=nan", "lr must be in [0, inf), not nan"),
    setting("lr=inf", "lr must be in [0, inf), not inf"),
    setting("alpha=1.5", "alpha must be in [0, 1], not 1.5"),
    setting("alpha=nan", "alpha must be in [0, 1], not nan"),
    setting("eps=-1", "eps must be in (0, inf), not -1"),
    setting("eps=0", "eps must be in (0, inf), not 0"),
    setting("length_threshold=long", "a quantile (q0.7), auto:40GB, or none, not 'long'"),
    setting("length_threshold=q2", "a quantile (q0.7), auto:40GB, or none, not 'q2'"),
    setting("length_threshold=auto:40", "length_threshold=auto:40: use a number and one of MB, GB,"),
    setting("length_threshold=auto:", "such as auto:40GB"),
    setting("length_threshold=auto:8GB fo_batch_size=0 alpha=1", "needs a first-order batch"),
    setting("length_threshold=-5", "length_threshold must be in tokens", "not '-5'"),
    setting("long_above=long", "long_above must be in tokens (170), a quantile (q0.75), or none, not 'long'"),
    setting(
        "long_above=auto:8GB", "long_above=auto:8GB: an amount of memory only determines length_threshold"
    ),
    setting("train_on=long", "unknown train_on 'long'", "short"),
    setting("rounding=up", "rounding must be one of stochastic, nearest, not 'up'"),
    setting("head=lmm", "unknown head 'lmm': did you mean 'lm'?"),
    setting("scoring=per-candidate", "did you mean 'per_candidate'?"),
    setting("schedule=linaer", "did you mean 'linear'?"),
    setting("evaluations=0", "evaluations must be at least 1, not 0"),
    setting("steps=0", "budget must be positive and finite, not steps=0"),
    setting("steps=1e3", "steps must be int or none, not 1000.0"),
    setting("zo_batch_size=-1", "zo_batch_size must not be negative: -1"),
    setting("fo_batch_size=2.5", "fo_batch_size must be a whole number, not 2.5"),
    setting("eval_batch_size=0", "eval_batch_size must be at least 1, not 0"),
    setting("train_rows=-4", "train_rows must be at least 1, not -4"),
    setting("data_seed=-1", "data_seed must be in [0, 2**63), not -1"),
    words("a seed that is not a number", [*ADDAX, "--seed", "one"], "seed must be int, not 'one'"),
    words("a negative seed", [*ADDAX, "--seed", "-1"], "seed must be in [0, 2**63), not -1"),
    words("a seed beyond 64 bits", [*ADDAX, "--seed", str(2**70)], "seed must be in [0, 2**63)"),
    words(
        "an automatic threshold on several devices",
        [*ADDAX, "--device", "auto", *options("length_threshold=auto:8GB")],
        "with device=auto, set it in tokens",
    ),
    words("betas with one number", [*ADAM, *options("betas=0.9")], "adam", "betas"),
]
COMBINATIONS = [
    words("trust in a built-in model", [*ADDAX, "--trust-remote-code"], "nano-opt has no code of its own"),
    setting("lr=0.1 steps=5 seconds=5", "exactly one budget", "examples, forward_equivalents"),
    setting("zo_batch_size=0", "zo_batch_size=0 requires alpha=0"),
    words("short examples of any length", [*ADAM, *options("train_on=short")], "needs long_above, in tokens"),
    setting(
        "train_on=short long_above=9 length_threshold=9", "cannot be combined with length_threshold", "D1"
    ),
    setting("alpha=1", "alpha=1 requires fo_batch_size=0, not 4"),
    words("MeZO with alpha", [*MEZO, *options("alpha=0.5")], "mezo does not take alpha", "setting of addax"),
    words("MeZO without a batch", [*MEZO, *options("zo_batch_size=0")], "zo_batch_size must be at least 1"),
    words("generation by a masked LM", [*MASKED, "--task", "squad"], "squad needs a causal model"),
    words(
        "a prefix for a masked LM",
        [*MASKED, "--task", "sst2", *options("trainable=prefix:5")],
        "trainable=prefix:5 needs a causal model",
        "use trainable=lora:R",
    ),
    words(
        "demonstrations for a method that trains",
        [*MEZO, *options("demonstrations=32")],
        "mezo trains without them; use --method zero-shot",
    ),
    words(
        "more demonstrations than training rows",
        [*RUN, "--method", "zero-shot", *options("demonstrations=32 train_rows=16")],
        "demonstrations=32 needs as many training rows: train_rows=16",
    ),
    words(
        "a classification head for open answers",
        [*ADDAX, "--task", "squad", *options("head=classification")],
        "squad has no fixed classes",
    ),
    words(
        "zero-shot with a new head",
        [*RUN, "--method", "zero-shot", *options("head=classification")],
        "zero-shot with head=classification needs a trained head, and nano-opt has none",
    ),
    Case(
        "a threshold above every length",
        [*ADDAX, *options("length_threshold=159 train_rows=12 validation_rows=4")],
        ("no training example is longer than length_threshold = 159", "zo_batch_size=0"),
        loads=True,
    ),
    Case(
        "an automatic threshold if nothing fits",
        [*ADDAX, *options("length_threshold=auto:1MB train_rows=12 validation_rows=4")],
        ("length_threshold=auto:1MB: even a first-order batch of", "a run needs", "smaller batches"),
        loads=True,
        predicts=True,
    ),
    Case(
        "training on short examples if all are long",
        [*RUN, "--method", "adam", *options("long_above=1 train_on=short train_rows=12 validation_rows=4")],
        ("every training example is longer than long_above = 1 tokens", "raise it"),
        loads=True,
    ),
    Case(
        "a threshold below every length",
        [*ADDAX, *options("length_threshold=1 train_rows=12 validation_rows=4")],
        ("every training example is longer than length_threshold = 1 tokens", "fo_batch_size=0"),
        loads=True,
    ),
]


def adapted(method: str, settings: str, *expected: str) -> Case:
    """Build a case from an optimizer of another package and its settings."""
    argv = [*RUN, "--method", method, *options(f"lr=1e-3 steps=2 {settings}")]
    return words(f"{method} {settings}", argv, *expected)


def hide(*packages: str) -> Callable[[Sandbox], None]:
    """Return a function that makes the import of packages fail, as if they were not installed."""
    return lambda box: [box.patch.setitem(sys.modules, name, None) for name in packages]


THIRD_PARTY = [
    adapted("muom", "seed=1", "unknown method 'muom'", "did you mean 'muon'?"),
    adapted("torch.optim:AdamV", "seed=1", "unknown optimizer of torch.optim 'AdamV'", "AdamW"),
    adapted("torch.optm:AdamW", "seed=1", "unknown module 'torch.optm'", "did you mean 'torch.optim'?"),
    adapted("trch.optim:AdamW", "seed=1", "no module 'trch'", "did you mean 'torch'?"),
    adapted("no_such_package:Lion", "seed=1", "no module 'no_such_package'", "install its package"),
    adapted("torch.optim:", "seed=1", "'torch.optim:' is not an import path", "write package.module:Class"),
    adapted("torch.nn:Linear", "seed=1", "Linear is not a subclass of torch.optim.Optimizer"),
    adapted("torch.optim:Optimizer", "seed=1", "the base class of the optimizers"),
    adapted("baselines.adam:Adam", "seed=1", "Adam is a method of this suite", "python -m benchmarks list"),
    adapted("torch.optim:LBFGS", "seed=1", "its step needs closure", "takes its gradients from"),
    Case(
        "an optimizer that cannot step",
        [*RUN, "--method", "torch.optim:SparseAdam", *options("lr=1e-3 steps=2")],
        ("torch.optim:SparseAdam: a trial step failed", "does not support dense gradients"),
        predicts=True,
    ),
    adapted("torch.optim:AdamW", "weight_decey=1", "did you mean --weight-decay?"),
    adapted("torch.optim:AdamW", "betas=0.9", "betas must be a list of 2 numbers"),
    adapted("torch.optim:AdamW", "eps=-1", "torch.optim:AdamW: ValueError: Invalid epsilon value: -1"),
    adapted("torch.optim:AdamW", "rounding=nearest", "does not take rounding"),
    adapted("muon", "adamw_lr=-1", "muon: adamw_lr"),
    adapted("adafactor", "rounding=nearest", "adafactor does not take rounding"),
    adapted("sgd", "momentum=0.9", "sgd does not take momentum", "a setting of muon, sgd-momentum"),
    Case(
        "a package that is not installed",
        [*RUN, "--method", "adam8bit", *options("lr=1e-3 steps=2")],
        ("adam8bit: bitsandbytes is not installed: pip install -e '.[bitsandbytes]'",),
        setup=hide("bitsandbytes"),
    ),
    Case(
        "another package that is not installed",
        [*RUN, "--method", "schedule-free", *options("lr=1e-3 steps=2")],
        ("schedule-free: schedulefree is not installed: pip install -e '.[schedule-free]'",),
        setup=hide("schedulefree"),
    ),
    Case(
        "a schedule for a method that averages",
        [*RUN, "--method", "schedule-free", *options("lr=1e-3 steps=2 schedule=linear")],
        ("schedule-free takes no schedule=linear", "leave out schedule"),
    ),
]
CASES = [*NAMES, *SPELLING, *VALUES, *COMBINATIONS, *THIRD_PARTY]
