"""Names that many packages share. This module imports nothing."""

# The evaluation of a model before the first step. Tables list it as a method.
ZERO_SHOT = "zero-shot"
# The beginning of the label of zero-shot runs with demonstrations, which their number completes.
IN_CONTEXT = "ICL"
# The budget fields of a spec. Every training run sets exactly one of them.
BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")
# The metrics of tasks, with their names in tables and figures, in the order in which these list them. "f1" is
# the F1 score of the words of a generated answer, and "class_f1" that of a chosen class.
METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
    "class_f1": "class F1",
    "matthews": "MCC",
}
# The modes of Weights & Biases.
WANDB_MODES = ("offline", "online", "disabled")


def is_trained(label: str) -> bool:
    """Return whether runs with a label train: those of zero-shot and of in-context learning do not.

    >>> is_trained("MeZO"), is_trained("zero-shot"), is_trained("ICL-32")
    (True, False, False)
    """
    return label != ZERO_SHOT and not label.startswith(f"{IN_CONTEXT}-")
