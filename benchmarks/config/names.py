"""Names that many packages share. This module imports nothing."""

# The evaluation of a model before the first step. Tables list it as a method.
ZERO_SHOT = "zero-shot"
# The budget fields of a spec. Every training run sets exactly one of them.
BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")
# Fields that were added after rows were committed. At these values, they do not count in a spec's id.
DEFAULTS_OMITTED_FROM_ID = {
    "examples": None,
    "forward_equivalents": None,
    "length_threshold": None,
    "long_above": None,
    "shots": None,
    "train_on": "all",
    "trainable": "all",
}
# The modes of Weights & Biases.
WANDB_MODES = ("offline", "online", "disabled")
