"""Names that many parts share; importing them loads nothing else."""

# The evaluation of a model before any step, which counts as a method in tables.
ZERO_SHOT = "zero-shot"
# Every trained run has exactly one of these budgets, each a field of the spec.
BUDGETS = ("steps", "seconds", "examples", "forward_equivalents")
