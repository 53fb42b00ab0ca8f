"""Building a comparison: what each method needs to fit, and where the trials of its learning rate begin."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from addax import units
from benchmarks import models, tasks
from benchmarks.compare import rates, trials
from benchmarks.compare.fit import SIZES, Fit, fit, usable
from benchmarks.compare.suite_files import Comparison, names_of
from benchmarks.config.methods import method_class, settings_of, takes_both_batches
from benchmarks.config.names import BUDGETS
from benchmarks.config.spec import RunSpec, field_names, from_dict
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.memory import example_lengths
from benchmarks.models import _trainable

# A rate for specs whose rate plays no part.
ANY_RATE = 1e-6
# Fields of a run that not every method has a use for, and whether a method has.
OF_SOME = {
    "length_threshold": takes_both_batches,
    "gradient_checkpointing": lambda method: "fo_loss" in method_class(method).closures,
}


def run_values(methods: Sequence[str], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict]]:
    """Divide given values into fields of every run, and the values of each method that has a use for them.

    These are its settings, L_T if it has two batches, and gradient checkpointing if it has a backward pass.

    Raises:
        UserError: no method has one of the settings, or a value is invalid; the message suggests the nearest.
    """
    fields = field_names()
    common = {key: value for key, value in given.items() if key in fields and key not in OF_SOME}
    known = set().union(*map(settings_of, methods))
    settings = {key: value for key, value in given.items() if key not in common}

    def has(method: str, key: str) -> bool:
        # The first method rejects a setting that no method has.
        return OF_SOME[key](method) if key in OF_SOME else key in settings_of(method) or key not in known

    own = {method: {k: v for k, v in settings.items() if has(method, k)} for method in methods}
    for method in methods:
        from_dict(common | own[method] | {"method": method, "lr": ANY_RATE})
    return common, own


def build(
    name: str,
    arguments: Mapping[str, Any],
    source: str,
    common: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int,
    memory: str | None,
    centers: Mapping[str, float],
    constants: Mapping[str, Any],
    say: Callable[[str], None],
) -> tuple[Comparison, list[Fit]]:
    """Build a comparison.

    Args:
        name, arguments, common, methods, seeds, constants: see `Comparison`.
        source: the source of the rows: "builtin", "hub", or a path.
        memory: the limit, such as "24GB"; None fits every method.
        centers: given centers of trials; the rule of `benchmarks.compare.rates` gives the others.
        say: called with a line before each method is fitted.

    Returns:
        The comparison of the methods that fit, and how each method fits.

    Raises:
        UserError: no method fits, or a learning rate has no rule.
    """
    specs = {m: from_dict({**common, **own, "method": m, "lr": ANY_RATE}) for m, own in methods.items()}
    trained = trained_parameters(next(iter(specs.values())))
    starts = {m: centers.get(m) or rates.center(m, trained, _default_rate(m)) for m in methods}
    fits = [Fit(m, {}) for m in methods]
    if memory is not None:
        limit = usable(memory, next(iter(specs.values())).device)
        draws = draws_of(next(iter(specs.values())), source, seeds, say)
        fits = []
        for method, spec in specs.items():
            say(f"fitting {method} in {memory}")
            fits.append(fit(spec, draws, limit))
    fitting = {found.method: {**methods[found.method], **found.values} for found in fits if found.fits}
    if not fitting:
        least = units.format_bytes(min(found.peak_bytes for found in fits), units.unit_of(memory))
        raise UserError(
            f"no method fits in {memory}: with single rows the smallest needs {least}; use more memory, a "
            "smaller model, or --dtype bfloat16"
        )
    about = _about(common, list(fitting), seeds, memory, [found.method for found in fits if not found.fits])
    comparison = Comparison(
        name, about, arguments, source, common, fitting, {m: starts[m] for m in fitting}, seeds, constants
    )
    return comparison, fits


def draws_of(spec: RunSpec, source: str, seeds: int, say: Callable[[str], None]) -> list[Sequence[Encoded]]:
    """Return the training rows of each seed of a comparison and of its trials.

    Args:
        spec: a run of the comparison.
        source: the source of the rows.
        seeds: number of seeds.
        say: called with a line if the model's tokenizer is not on this machine.
    """
    found = [
        example_lengths.of_task(spec.replace(data_seed=seed), source, None)
        for seed in (*range(seeds), trials.SEED)
    ]
    if found[0].is_fallback:
        say(
            f"lengths are those of {found[0].tokenizer}'s tokenizer, because that of {spec.model} is not on "
            f"this machine: run `python -m benchmarks fetch {spec.model}` first for exact lengths"
        )
    return [examples.rows for examples in found]


def _about(
    common: Mapping[str, Any], fitting: Sequence[str], seeds: int, memory: str | None, left_out: Sequence[str]
) -> str:
    budget, amount = next((name, common[name]) for name in BUDGETS if name in common)
    task = tasks.load(common["task"]).title
    text = f"Comparison of {names_of(fitting)} with {common['model']} on {task}: "
    text += f"{amount:,g} {budget.replace('_', ' ')} per run, {seeds} seed{'s' * (seeds > 1)}"
    text += f", at most {memory}" if memory else ""
    return f"{text}; {names_of(left_out)} left out (too large)." if left_out else f"{text}."


def trained_parameters(spec: RunSpec) -> int:
    """Return the number of parameters that a run trains, without loading weights."""
    config = models.shape_of(spec.model, spec.trust_remote_code)
    # The size of a classification head does not matter beside that of the model.
    labels = 2 if spec.head == "classification" else None
    model = models.build(
        config, dtype=getattr(torch, spec.dtype), device="meta", head=spec.head, num_labels=labels
    )
    _trainable.select(model, spec.trainable, spec.model)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _default_rate(method: str) -> float | None:
    rate = settings_of(method).get("lr")
    return rate if isinstance(rate, float) else None


def table(comparison: Comparison, fits: Sequence[Fit], memory: str | None) -> str:
    """Return a table with one line per method: batch sizes, L_T, checkpointing, peak, and first rates."""
    from tabulate import tabulate

    unit = "" if memory is None else units.unit_of(memory)
    lines = []
    for found in fits:
        values = {**settings_of(found.method), **comparison.methods.get(found.method, {})}
        sizes = [
            f"{short} {values[key]}" for key, short in zip(SIZES, ("K0", "K1"), strict=True) if key in values
        ]
        start = comparison.centers.get(found.method)
        lines.append(
            {
                "method": found.method,
                "fits": "yes" if found.fits else "NO, left out",
                "batch": ", ".join(sizes) if found.fits else "",
                "L_T": values.get("length_threshold") if found.fits else None,
                "checkpointing": "yes" if values.get("gradient_checkpointing") else "",
                **(
                    {}
                    if found.peak_bytes is None
                    else {f"peak ({unit})": f"{found.peak_bytes / units.UNITS[unit]:.2f}"}
                ),
                "first rates": "" if start is None else " ".join(f"{r:g}" for r in rates.first_trials(start)),
            }
        )
    if all(found.peak_bytes is None for found in fits):
        lines = [
            {k: v for k, v in line.items() if k not in ("fits", "predicted peak (GB)")} for line in lines
        ]
    return tabulate(lines, headers="keys", floatfmt=".2f", missingval="", disable_numparse=True)
