"""Comparison of predicted and measured peak memory.

Models of every family are built from configurations of several sizes, and every method takes one step at
several lengths. On a CPU, the measured peak is computed from the allocator's events in torch's profiler. On a
GPU, the allocator reports its peak. The prediction uses neither.
"""

import argparse
import gc
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from tabulate import tabulate

from benchmarks import models, registry
from benchmarks.config import labels
from benchmarks.config.methods import method_class
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.errors import unknown
from benchmarks.memory import estimator
from benchmarks.memory.dry_step import Batches, DryStep, synthetic
from benchmarks.profiling.environment import provenance_fields
from benchmarks.profiling.oom import is_out_of_memory
from benchmarks.profiling.peak_memory import allocator_peak, run_in_thread
from benchmarks.profiling.warm_up import warm_up
from benchmarks.studies import Option, Study
from benchmarks.studies._processes import pool
from benchmarks.studies._saved import saved_rows

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

BATCH = 4
# (layers, width) of each family's models on a CPU. GPUs use the papers' models.
SIZES = ((2, 64), (4, 128), (7, 192), (10, 256))
LENGTHS = {"cpu": (32, 128, 320), "cuda": (128, 512, 1024)}
PAPERS = (
    "facebook/opt-125m", "facebook/opt-1.3b", "facebook/opt-6.7b", "facebook/opt-13b",
    "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf", "FacebookAI/roberta-base",
    "FacebookAI/roberta-large",
)  # fmt: skip
VOCABULARY = 4000
DTYPE = {"cpu": "float32", "cuda": "bfloat16"}


def small_config(family: str, layers: int, width: int) -> "PreTrainedConfig":
    """Return a small configuration of a family that resembles its published models."""
    from transformers import AutoConfig

    common = {"hidden_size": width, "num_hidden_layers": layers, "vocab_size": VOCABULARY}
    common |= {"num_attention_heads": 4, "max_position_embeddings": 514}
    inner = {"intermediate_size": 4 * width}
    by_family = {
        "opt": {"ffn_dim": 4 * width, "word_embed_proj_dim": width},
        # Grouped-query attention, as in the largest published models.
        "llama": inner | {"num_key_value_heads": 2},
        "roberta": inner,
    }
    return AutoConfig.for_model(family, **common, **by_family[family])


def pairs(device: str) -> Iterator[tuple[str, "PreTrainedConfig", int]]:
    """Yield (name, configuration, length) for every model and length."""
    if device == "cuda":
        shapes = [(name, models.shape_of(name)) for name in PAPERS]
    else:
        families = ("opt", "llama", "roberta")
        shapes = [
            (f"{family} {layers} x {width}", small_config(family, layers, width))
            for family, (layers, width) in itertools.product(families, SIZES)
        ]
    for (name, config), length in itertools.product(shapes, LENGTHS[device]):
        if length <= models.family_of(config.model_type, name).positions(config):
            yield name, config, length


def specs(config: "PreTrainedConfig", device: str) -> Iterator[RunSpec]:
    """Yield a spec per method, and one with gradient checkpointing if the method has a backward pass."""
    model = "nano-roberta" if models.family_of(config.model_type, "").masked else "nano-opt"
    for method in registry.files("method"):
        both = (False, True) if "fo_loss" in method_class(method).closures else (False,)
        for checkpointing in both:
            given = {"method": method, "model": model, "task": "multirc", "steps": 1, "lr": 1e-6}
            memory = {"dtype": DTYPE[device], "gradient_checkpointing": checkpointing}
            yield from_dict(given | memory)


def batches_of(spec: RunSpec, length: int, padded: bool = True) -> Batches:
    """Return a batch for each closure of a method; if `padded`, one example is shorter than the others."""
    batch = synthetic([length] * (BATCH - 1) + [length - padded])
    return {
        part: batch for part in ("zo", "fo", "full") if f"{part}_loss" in method_class(spec.method).closures
    }


def compare(
    spec: RunSpec, config: "PreTrainedConfig", length: int, device: str, padded: bool = True
) -> dict[str, Any]:
    """Return the fields of a row with the predicted and the measured peak of one step, in bytes."""
    batches = batches_of(spec, length, padded)
    capability = torch.cuda.get_device_capability() if device == "cuda" else None
    predicted = estimator.of_config(spec, config, batches, device, capability)
    measured = measured_peak(spec, config, batches, device)
    return {
        "method": spec.method,
        "label": labels.method_label(spec, spec.length_threshold),
        "gradient_checkpointing": spec.gradient_checkpointing,
        "dtype": spec.dtype,
        "length": length,
        "batch_size": BATCH,
        "padded": padded,
        "device": device,
        "predicted_bytes": predicted.peak_bytes,
        "predicted": dict(predicted.split),
        "piece": list(predicted.phase),
        **measured,
    }


def measured_peak(spec: RunSpec, config: "PreTrainedConfig", batches: Batches, device: str) -> dict[str, Any]:
    """Return the peak that the allocator reports for a step of a real model.

    The step runs in a new thread, where the noise has no scratch memory yet.
    """

    def work() -> dict[str, Any]:
        warm_up([torch.device(device)], getattr(torch, spec.dtype))
        torch.manual_seed(0)
        step = DryStep(spec, config, batches, device)
        gc.collect()

        def take() -> None:
            # The first step allocates the optimizer's state and the scratch memory of the noise.
            step.step()
            step.step_every_kind()

        return allocator_peak(take, [*step.model.parameters(), *step.model.buffers()])

    try:
        return run_in_thread(work)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"measured_bytes": None, "measured_how": "out of memory"}


def _job(job: tuple) -> list[dict[str, Any]]:
    name, config, length, device = job
    family = models.family_of(config.model_type, name).name
    return [
        {
            "model": name,
            "family": family,
            **compare(spec, config, length, device, padded),
            **provenance_fields(device),
        }
        for spec in specs(config, device)
        for padded in (True, False)
    ]


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each model and length: one per method, with and without padding.

    The first rows are those that an interrupted study has saved.
    """
    # Otherwise the profiler logs two lines per step.
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")
    jobs = [(*pair, options.device) for pair in pairs(options.device)]
    names = list(dict.fromkeys(name for name, *_ in jobs))
    for name in options.models or ():
        if name not in names:
            raise unknown(f"model of --models on {options.device}", name, names)
    wanted = {(name, length) for name, _, length, _ in jobs if name in (options.models or names)}
    saved = [
        row
        for row in saved_rows("memory-validation", options, options.device)
        if (row["model"], row["length"]) in wanted
    ]
    finished = {(row["model"], row["length"]) for row in saved}
    jobs = [job for job in jobs if (job[0], job[2]) in wanted - finished]
    if saved:
        yield saved
        say(f"{len(finished)} of {len(wanted)} combinations of model and length were saved before")
    with pool(options.jobs) as workers:
        for done, part in enumerate(workers.map(_job, jobs), len(finished) + 1):
            yield part
            say(f"{done} of {len(wanted)} combinations of model and length done")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table of the median and the largest difference, a line per device.

    The largest difference is the largest in percent. Its size in MiB shows whether it matters: a fixed number
    of bytes is a large share of a small model.
    """
    lines = []
    for device in dict.fromkeys(row["device"] for row in rows):
        known = [row for row in rows if row["device"] == device and row["measured_bytes"]]
        if not known:
            continue
        worst = max(known, key=lambda row: abs(difference(row)))
        mib = [abs(difference_bytes(row)) / 2**20 for row in known]
        lines.append(
            {
                "device": device,
                "steps": f"{len(known)}",
                "median difference (%)": f"{100 * median(abs(difference(row)) for row in known):.3f}",
                "median difference (MiB)": f"{median(mib):.3f}",
                "largest difference (%)": f"{100 * difference(worst):+.2f}",
                "its size (MiB)": f"{difference_bytes(worst) / 2**20:+.2f}",
                "largest difference on": f"{worst['label']}, {worst['model']}, length {worst['length']}",
            }
        )
    align = ["left", *["right"] * 5, "left"]
    return (
        tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=align)
        if lines
        else "no measured steps"
    )


def difference(row: dict[str, Any]) -> float:
    """Return (predicted - measured) / measured."""
    return row["predicted_bytes"] / row["measured_bytes"] - 1


def difference_bytes(row: dict[str, Any]) -> int:
    """Return predicted - measured, in bytes."""
    return row["predicted_bytes"] - row["measured_bytes"]


STUDY = Study(
    measure,
    table,
    key=("device", "model", "length"),
    figures=("memory_validation",),
    options=(
        Option("device", "kind of device to measure on", "cpu", choices=("cpu", "cuda")),
        Option("models", "models to measure (default: all)", many=True, metavar="MODEL"),
        Option("jobs", "number of worker processes; use 1 on a GPU", 1, int),
    ),
)
