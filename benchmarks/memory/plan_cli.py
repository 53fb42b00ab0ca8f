"""The command `plan`, which prints plans as text or JSON."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from addax import units
from benchmarks import registry
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.memory.example_lengths import Examples
    from benchmarks.memory.planner import Plan

RESERVED = units.format_bytes(units.RESERVE)
EPILOG = f"""
40GB means 40 * 10^9 bytes, and 40GiB means 40 * 2^30 bytes. A GPU sold as 40GB has slightly less than 40GiB;
nvidia-smi shows its size. {RESERVED} is reserved for the CUDA context and fragmentation. The peak of a method
is that of a training step on the longest examples, padded to equal length. The cost of a step is its number
of forward passes over a batch; a backward pass counts as two, or as three with gradient checkpointing. The
exit code is 0 if a method fits, 1 if no method fits, and 2 if an option is invalid.
"""
# Part of a peak -> header of its column.
SPLIT = {
    "parameters": "params",
    "gradients": "grads",
    "optimizer_state": "state",
    "activations": "activations",
    "scratch": "scratch",
}


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(given: argparse.Namespace, source: str, values: Mapping[str, Any]) -> int:
    """Compute the plans, print them, and return the exit code.

    Args:
        given: the parsed arguments.
        source: "builtin", "hub", a folder, or a file.
        values: the fields of runs and settings of methods on the command line.
    """
    try:
        memory = units.parse_bytes(given.gpu_memory, "--gpu-memory")
    except ValueError as error:
        raise UserError(str(error)) from None
    usable = memory - units.reserve("cuda")
    if usable <= 0:
        raise UserError(
            f"--gpu-memory {given.gpu_memory}: {RESERVED} is reserved for the "
            "CUDA context and fragmentation; use more memory"
        )
    if given.tokenizer and given.length_file:
        raise UserError(
            "--tokenizer cannot be combined with --length-file (its lengths are already in tokens)"
        )
    from rich.console import Console

    from benchmarks.memory import example_lengths, planner

    names = given.method or list(registry.files("method"))
    values = dict(values) | {"model": given.model, "task": given.task, "dtype": given.dtype}
    spec = next(planner.specs(names, values))
    if given.length_file:
        examples = example_lengths.of_file(spec, given.length_file)
    else:
        examples = example_lengths.of_task(spec, source, given.tokenizer)
    console = Console(stderr=True)
    with console.status("") as status:
        # A status line needs a terminal; a log gets one line per method.
        say = status.update if console.is_terminal else _log
        found = planner.plans(names, values, examples.rows, usable, lambda label: say(f"predicting {label}"))
    if given.json:
        print(json.dumps(as_dict(given, memory, examples, found), indent=2))
    else:
        print("\n".join(head(given, memory, examples)), end="\n\n")
        print(table(found, units.unit_of(given.gpu_memory), len(examples.rows)))
    return 0 if any(plan.fits for plan in found) else 1


def as_dict(
    given: argparse.Namespace, memory: int, examples: "Examples", found: Sequence["Plan"]
) -> dict[str, Any]:
    """Return the plans and their inputs as plain values, with memory in bytes and lengths in tokens."""
    lengths = [row.length for row in examples.rows]
    return {
        "model": given.model,
        "task": given.task,
        "dtype": given.dtype,
        "gpu_memory_bytes": memory,
        "reserve_bytes": units.RESERVE,
        "usable_bytes": memory - units.RESERVE,
        "lengths": {
            "source": examples.source,
            "tokenizer": examples.tokenizer,
            "fallback_tokenizer": examples.is_fallback,
            "cut": examples.cut,
            "n": len(lengths),
            "minimum": min(lengths),
            "maximum": max(lengths),
        },
        "plans": [plan.as_dict() for plan in found],
    }


def head(given: argparse.Namespace, memory: int, examples: "Examples") -> list[str]:
    """Return the lines above the table: the model, the budget, the examples, and notes on their lengths."""
    from benchmarks.memory import example_lengths

    unit = units.unit_of(given.gpu_memory)
    lengths = [row.length for row in examples.rows]
    sources = {"builtin": "built-in rows", "hub": "rows from the hub", "folder": "rows from a folder"}
    source = sources.get(examples.source, given.length_file or given.data)
    lines = [
        f"{given.model} on {given.task}, {given.dtype}, a GPU with {given.gpu_memory}: "
        f"{units.format_bytes(memory - units.RESERVE, unit)} usable",
        f"({units.format_bytes(units.RESERVE, unit)} is reserved for the CUDA context and fragmentation)",
        f"lengths: {len(lengths)} training examples ({source}), {min(lengths)} to {max(lengths)} tokens"
        + (f" with the tokenizer of {examples.tokenizer}" if examples.tokenizer else ""),
    ]
    if examples.short is not None:
        lines.append(f"note: train_on=short leaves out the examples of more than {examples.short} tokens")
    if examples.cut:
        lines.append(f"note: lengths reduced to the model's maximum of {max(lengths)} tokens: {examples.cut}")
    if examples.is_fallback:
        lines.append(
            f"note: {examples.tokenizer}'s tokenizer is used instead of {given.model}'s "
            f"(with a network, use --tokenizer {given.model})"
        )
        if examples.tokenizer == example_lengths.FALLBACK_TOKENIZER:
            lines.append(f"note: {example_lengths.FALLBACK_ACCURACY}")
    if examples.source == "builtin":
        lines.append(
            "note: built-in rows are shorter than published rows; for those, use --data DIR or --data hub"
        )
    return lines


def table(found: Sequence["Plan"], unit: str, examples: int) -> str:
    """Return a table with one line per plan, with memory in the given unit."""
    from tabulate import tabulate

    lines = []
    for plan in found:
        split = {short: plan.peak.split[kind] / units.UNITS[unit] for kind, short in SPLIT.items()}
        lines.append(
            {
                "method": plan.label,
                "ckpt": "yes" if plan.gradient_checkpointing else "",
                "cost": f"{plan.passes:g}",
                "fits": "yes" if plan.fits else "NO",
                "batch": _batch(plan),
                "L_T": "" if plan.d1 is None else str(plan.length_threshold or "none"),
                "in D0 / D1": "" if plan.d1 is None else _shares(plan, examples),
                f"peak ({unit})": plan.peak.peak_bytes / units.UNITS[unit],
                "headroom": plan.headroom / units.UNITS[unit],
                **split,
            }
        )
    return tabulate(lines, headers="keys", floatfmt=".2f", disable_numparse=[2, 4, 5, 6])


def _batch(plan: "Plan") -> str:
    both = len(plan.sizes) > 1
    names = {"zo_batch_size": "K0 ", "fo_batch_size": "K1 "}
    more = {name: ">= " if name in plan.at_limit else "" for name in plan.sizes}
    text = ", ".join(f"{names[name] if both else ''}{more[name]}{size}" for name, size in plan.sizes.items())
    return f"{text} (set)" if plan.chosen == "length_threshold" else text


def _shares(plan: "Plan", examples: int) -> str:
    return f"{plan.d0 / examples:.1%} / {plan.d1 / examples:.1%}"
