"""How a run is called in tables, figures, filters, and logs."""

from addax.assignment import LengthThreshold
from benchmarks.config.methods import method_class
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec

# The rank that needs no mention: MeZO's adapters.
USUAL_RANK = "8"


def label(spec: RunSpec) -> str:
    """Return the method's name in tables, with what this run does differently behind it.

    Addax without a length threshold is Addax-WA. Variants follow in parentheses: "IP-SGD (checkpointing)",
    "Adam (LoRA)", "MeZO (released)".
    """
    return label_at(spec, spec.length_threshold)


def label_at(spec: RunSpec, length_threshold: LengthThreshold | int | None) -> str:
    """Return `label` for the threshold that was found, where the spec only says how to find one."""
    if spec.method == ZERO_SHOT:
        return ZERO_SHOT
    variants = [way for way in ("released", "nearest") if way in spec.settings.values()]
    if spec.method == "addax" and length_threshold is not None and not spec.settings["zo_batch_size"]:
        variants.append("D1 only")
    kind, _, amount = spec.trainable.partition(":")
    if kind == "lora":
        variants.append("LoRA" if amount == USUAL_RANK else f"LoRA {amount}")
    elif kind == "last":
        variants.append(f"last {amount}")
    if spec.gradient_checkpointing:
        variants.append("checkpointing")
    name = method_label(spec, length_threshold)
    return f"{name} ({', '.join(variants)})" if variants else name


def method_label(spec: RunSpec, length_threshold: LengthThreshold | int | None) -> str:
    """Return the first part of a label: the method without its variants."""
    without_assignment = spec.method == "addax" and length_threshold is None
    return f"{method_class(spec.method).label}{'-WA' if without_assignment else ''}"
