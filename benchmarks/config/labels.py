"""Labels: the names of runs in tables, figures, filters, and logs."""

from addax.assignment import LengthThreshold
from benchmarks.config.methods import method_class
from benchmarks.config.names import IN_CONTEXT, ZERO_SHOT
from benchmarks.config.spec import RunSpec

# The LoRA rank and the length of a prefix that labels omit. The MeZO paper uses them.
USUAL_RANK, USUAL_PREFIX = "8", "5"


def label(spec: RunSpec) -> str:
    """Return the label of a run: the method's name, followed by the variants that the run uses.

    Addax without a length threshold is Addax-WA, and zero-shot after 32 demonstrations is ICL-32. Variants
    follow in parentheses: "IP-SGD (checkpointing)", "Adam (LoRA)", "Adam (short only)", "MeZO (released)".
    """
    return label_at(spec, spec.length_threshold)


def label_at(spec: RunSpec, length_threshold: LengthThreshold | int | None) -> str:
    """Return the label of a run with a given length threshold.

    If the spec only defines a rule for the threshold (a quantile, or an amount of memory), the caller passes
    the threshold in tokens.
    """
    if spec.method == ZERO_SHOT:
        return f"{IN_CONTEXT}-{spec.demonstrations}" if spec.demonstrations else ZERO_SHOT
    variants = [value for value in ("released", "nearest") if value in spec.settings.values()]
    if spec.method == "addax" and length_threshold is not None and not spec.settings["zo_batch_size"]:
        variants.append("D1 only")
    if spec.train_on == "short":
        variants.append("short only")
    kind, _, amount = spec.trainable.partition(":")
    if kind == "lora":
        variants.append("LoRA" if amount == USUAL_RANK else f"LoRA {amount}")
    elif kind == "prefix":
        variants.append("prefix" if amount == USUAL_PREFIX else f"prefix {amount}")
    elif kind == "last":
        variants.append(f"last {amount}")
    elif kind == "adapter":
        variants.append("adapter")
    if spec.gradient_checkpointing:
        variants.append("checkpointing")
    name = method_label(spec, length_threshold)
    return f"{name} ({', '.join(variants)})" if variants else name


def method_label(spec: RunSpec, length_threshold: LengthThreshold | int | None) -> str:
    """Return the method part of a label, without the variants."""
    without_assignment = spec.method == "addax" and length_threshold is None
    return f"{method_class(spec.method).label}{'-WA' if without_assignment else ''}"
