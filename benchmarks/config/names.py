"""Names that many packages share. This module imports nothing."""

# The evaluation of a model before the first step. Tables list it as a method.
ZERO_SHOT = "zero-shot"
# The budget fields of a spec. Every training run sets exactly one of them.
BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")
# The modes of Weights & Biases.
WANDB_MODES = ("offline", "online", "disabled")
