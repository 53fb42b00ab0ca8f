"""On-disk cache of memory traces: one small file per trace, named by a hash of everything it depends on."""

import contextlib
import hashlib
import importlib.metadata
import json
from functools import cache
from typing import TYPE_CHECKING

from addax.memory import PhasePeaks
from benchmarks import registry, tasks
from benchmarks.config.fingerprint import modules_of
from benchmarks.config.methods import identity_of
from benchmarks.config.spec import RunSpec
from benchmarks.files import write_atomically
from benchmarks.memory.dry_step import Batches, pad_to_longest
from benchmarks.models import _adapters
from benchmarks.models._fetch import cache_folder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# The fields of a spec that change allocations; runs that differ in other fields share their traces.
FIELDS = ("method", "dtype", "head", "scoring", "gradient_checkpointing", "dropout", "trainable")
# These settings affect memory only through the batch sizes. Any other setting may change a method's
# allocations.
IN_SIZES = ("zo_batch_size", "fo_batch_size")
# The predictor's module. Its imports, the method's, and the model families' contain all code that allocates.
ENTRY = registry.ROOT / "benchmarks" / "memory" / "estimator.py"


def key(
    spec: RunSpec,
    config: "PreTrainedConfig",
    batches: Batches,
    device: str,
    capability: tuple[int, int] | None = None,
) -> str:
    """Return the file name of a trace, without its suffix."""
    sizes = {
        part: [(len(e.prompt), [len(c) for c in e.candidates], len(e.answer)) for e in pad_to_longest(batch)]
        for part, batch in batches.items()
    }
    dependencies = {
        "spec": {name: getattr(spec, name) for name in FIELDS},
        "loss": tasks.load(spec.task).loss,
        "settings": {name: value for name, value in spec.settings.items() if name not in (*IN_SIZES, "lr")},
        # At a learning rate of 0 methods skip the update.
        "moves": bool(spec.settings["lr"]),
        "config": config.to_dict(),
        "adapter": _adapters.configuration(spec.model) if spec.trainable == "adapter" else None,
        "attention": config._attn_implementation,
        "sizes": sizes,
        "device": device,
        "capability": capability,
        "code": _code(spec.method),
    }
    return hashlib.sha256(json.dumps(dependencies, sort_keys=True, default=str).encode()).hexdigest()[:32]


@cache
def _code(method: str) -> str:
    files = modules_of(ENTRY, registry.path("method", method), *registry.files("model").values())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    versions = [importlib.metadata.version(name) for name in ("torch", "transformers")]
    return f"{digest.hexdigest()} {versions}{identity_of(method) or ''}"


def read(name: str) -> PhasePeaks | None:
    """Return the trace stored under a name, or None if it is missing or its file is damaged."""
    try:
        stored = json.loads((cache_folder() / "memory" / f"{name}.json").read_text())
        return PhasePeaks({tuple(phase): tuple(sizes) for phase, sizes in stored}) if stored else None
    except (OSError, ValueError, TypeError):
        return None


def write(name: str, trace: PhasePeaks) -> None:
    """Store a trace. A failed write is ignored, because the trace can be repeated."""
    with contextlib.suppress(OSError):
        target = cache_folder() / "memory" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(list(trace.bytes.items())))
