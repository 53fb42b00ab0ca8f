"""Traces kept on disk: one small file each, under all that they depend on."""

import contextlib
import hashlib
import importlib.metadata
import json
from functools import cache
from typing import TYPE_CHECKING

from benchmarks import registry, tasks
from benchmarks.config.spec import RunSpec
from benchmarks.files import write_atomically
from benchmarks.memory.dry_step import Batches, pad_to_longest
from benchmarks.memory.tracer import PhasePeaks
from benchmarks.models._fetch import cache_folder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Of a spec: what changes no allocation is left out, so that runs share their traces.
FIELDS = ("method", "dtype", "head", "scoring", "gradient_checkpointing", "dropout", "trainable")
# Settings that are in the sizes of batches; every other one may be of a method that allocates by it.
IN_SIZES = ("zo_batch_size", "fo_batch_size")
FILES = (
    "config/spec",
    "evaluation/scoring",
    "memory/_cpu_kernels",
    "memory/_gpu_kernels",
    "memory/dry_step",
    "memory/estimator",
    "memory/tracer",
    "models/_dropout",
    "models/_trainable",
)


def key(spec: RunSpec, config: "PreTrainedConfig", batches: Batches, device: str) -> str:
    """The name of a file."""
    sizes = {
        part: [(len(e.prompt), [len(c) for c in e.candidates], len(e.answer)) for e in pad_to_longest(batch)]
        for part, batch in batches.items()
    }
    what = {
        "spec": {name: getattr(spec, name) for name in FIELDS},
        "loss": tasks.load(spec.task).loss,
        "settings": {name: value for name, value in spec.settings.items() if name not in (*IN_SIZES, "lr")},
        # Where nothing is to move, methods do other work.
        "moves": bool(spec.settings["lr"]),
        "config": config.to_dict(),
        "attention": config._attn_implementation,
        "sizes": sizes,
        "device": device,
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    files = [
        *sorted((registry.ROOT / "addax").glob("*.py")),
        *sorted((registry.ROOT / "baselines").glob("*.py")),
        *sorted((registry.ROOT / "benchmarks" / "models").glob("*.py")),
    ]
    files += [registry.ROOT / "benchmarks" / f"{name}.py" for name in FILES]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    versions = [importlib.metadata.version(name) for name in ("torch", "transformers")]
    return f"{digest.hexdigest()} {versions}"


def read(name: str) -> PhasePeaks | None:
    """What is held under a name; None where nothing is, or nothing whole."""
    try:
        held = json.loads((cache_folder() / "memory" / f"{name}.json").read_text())
        return PhasePeaks({tuple(piece): tuple(sizes) for piece, sizes in held}) if held else None
    except (OSError, ValueError, TypeError):
        return None


def write(name: str, found: PhasePeaks) -> None:
    """Keeps what may be had again by a trace: where it cannot be written, nothing is lost."""
    with contextlib.suppress(OSError):
        target = cache_folder() / "memory" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(list(found.bytes.items())))
