"""The small variant of a paper's suite: the same runs on a built-in model, few rows, and a small budget."""

from addax.assignment import AUTO
from benchmarks.config.spec import RunSpec

# The first word of a model's name, and the built-in model in its place.
NANO = {"opt": "nano-opt", "gpt2": "nano-opt", "llama": "nano-llama"}
NANO |= {"roberta": "nano-roberta", "distilbert": "nano-roberta"}
DATA = "builtin"
# The most of each in a small run.
MOST = {
    "steps": 4, "seconds": 0.5, "examples": 32, "forward_equivalents": 128, "evaluations": 2,
    "train_rows": 32, "validation_rows": 8, "test_rows": 8, "eval_batch_size": 8, "shots": 2,
}  # fmt: skip
BATCH = 16
# In place of a card's memory: some of nano-opt's examples in bfloat16 are too long for it, others are not.
BUDGET = AUTO + "2.5MB"


def shrink(spec: RunSpec) -> RunSpec:
    """Return a run in small: of the method's settings, only batch sizes and the card's memory differ.

    Runs that differ only in what is cut become one and the same.
    """
    cut = {k: min(getattr(spec, k), most) for k, most in MOST.items() if getattr(spec, k) is not None}
    # A few shots fill at most one batch.
    batch = cut.get("shots", BATCH)
    own = {
        k: min(v, batch) if k in ("zo_batch_size", "fo_batch_size") else v for k, v in spec.settings.items()
    }
    if spec.length_threshold is not None and spec.length_threshold.memory is not None:
        cut["length_threshold"] = BUDGET
    return spec.replace(model=nano(spec.model), data=DATA, settings=own, **cut)


def nano(model: str) -> str:
    """Return the built-in model that stands for a paper's.

    >>> nano("facebook/opt-13b"), nano("meta-llama/Llama-2-70b-hf")
    ('nano-opt', 'nano-llama')
    """
    return NANO[model.rpartition("/")[2].partition("-")[0].lower()]
