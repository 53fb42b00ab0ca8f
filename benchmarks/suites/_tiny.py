"""Small variants of the papers' suites: the same runs on a built-in model, few rows, and a small budget."""

from addax.assignment import AUTO
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.hub import names

# The first word of a model's name -> the built-in model that replaces it.
NANO = {"opt": "nano-opt", "gpt2": "nano-opt", "llama": "nano-llama"}
NANO |= {"roberta": "nano-roberta", "distilbert": "nano-roberta"}
DATA = "builtin"
# The maximum of each field in a small run.
MOST = {
    "steps": 4, "seconds": 0.5, "examples": 32, "forward_equivalents": 128, "evaluations": 2,
    "train_rows": 32, "validation_rows": 8, "test_rows": 8, "eval_batch_size": 8, "shots": 2,
}  # fmt: skip
BATCH = 16
# This budget replaces a GPU's memory. In bfloat16, some of nano-opt's examples are too long for it and some
# fit.
BUDGET = AUTO + "2.5MB"


def shrink(spec: RunSpec) -> RunSpec:
    """Return the small variant of a run, which differs in the model, the data, sizes, and memory budgets.

    Runs that differ only in values that are cut become equal.
    """
    cut = {k: min(getattr(spec, k), most) for k, most in MOST.items() if getattr(spec, k) is not None}
    if spec.shots is not None:
        # The shots determine these numbers.
        del cut["train_rows"], cut["validation_rows"]
    if spec.method == ZERO_SHOT:
        # It takes no steps and is evaluated once.
        del cut["steps"], cut["evaluations"]
    # In a run with shots, the batch size is at most the number of shots per class.
    batch = cut.get("shots", BATCH)
    settings = {
        k: min(v, batch) if k in ("zo_batch_size", "fo_batch_size") else v for k, v in spec.settings.items()
    }
    if spec.length_threshold is not None and spec.length_threshold.memory is not None:
        cut["length_threshold"] = BUDGET
    return spec.replace(model=nano(spec.model), data=DATA, data_revision=None, settings=settings, **cut)


def nano(model: str) -> str:
    """Return the built-in model that replaces a paper's model.

    >>> nano("facebook/opt-13b"), nano("meta-llama/Llama-2-70b-hf")
    ('nano-opt', 'nano-llama')
    """
    return NANO[names.unpinned(model).rpartition("/")[2].partition("-")[0].lower()]
