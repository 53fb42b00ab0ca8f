"""Saved models: the best weights of a run, as a folder that `from_pretrained` loads.

A run of all weights or of the last layers saves the whole model in its dtype, with its configuration and
tokenizer. A run of adapters saves a PEFT adapter folder. The folder is written beside its destination and
renamed, so a kill leaves none that is incomplete.

Memory: nothing beyond the weights; they are written from where they are. If frozen weights are on a GPU, one
shard of them passes through the host's memory at a time.
Disk: one copy of the weights; twice as much while the folder of an earlier process is replaced.
"""

import contextlib
import copy
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from benchmarks import models
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.models import LoadedModel, _adapters, _trainable, _transformers
from benchmarks.results import saved

# transformers splits weights into files of at most this size.
SHARD = "5GB"
# Bytes for the files other than the weights.
OTHER_FILES = 32 * 2**20


def save(
    target: Path,
    spec: RunSpec,
    loaded: LoadedModel,
    best: Mapping[str, Tensor] | None,
    row: Mapping[str, Any],
) -> None:
    """Save the tested weights of a run to a folder, atomically.

    Args:
        target: the folder. The saved model of an earlier process of the same run is replaced.
        spec: the run.
        loaded: its model, with the tested weights, and its tokenizer.
        best: the same trained weights in host memory, by name, so that none is copied from a GPU again.
        row: the run's row, for the model card and the record.

    Raises:
        UserError: the folder cannot be written.
    """
    target = target.resolve()
    part = target.with_name(f".{target.name}.{spec.id}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with _transformers.quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights = _state(loaded.model, best or {})
            if _adapters.is_applied(loaded.model):
                _save_adapter(part, spec, loaded, weights)
            else:
                loaded.model.save_pretrained(part, state_dict=weights, max_shard_size=SHARD)
            loaded.tokenizer.save_pretrained(part)
        (part / "README.md").write_text(card(spec, row), encoding="utf-8")
        record = {name: row[name] for name in (*saved.IDENTITY, "suite", "config", "metric", "score")}
        (part / saved.RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        _sync(part)
        _replace(part, target)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(
            f"cannot save the model to {target}: {reason}; make room and repeat the command, which continues "
            "from the run's last checkpoint"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _state(model: nn.Module, best: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's state without copying it; trained tensors are those in host memory.

    Names that share a tensor of the model, such as tied embeddings, share one in the result, too.
    """
    own = model.state_dict()
    copies = {own[name].data_ptr(): tensor for name, tensor in best.items() if tensor.numel()}
    return {name: copies.get(tensor.data_ptr(), tensor) for name, tensor in own.items()}


def _save_adapter(part: Path, spec: RunSpec, loaded: LoadedModel, weights: Mapping[str, Tensor]) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as peft does."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    model, config = loaded.model, loaded.model.peft_config["default"]
    tensors = get_peft_model_state_dict(model, state_dict=dict(weights), save_embedding_layers=False)
    beside = _modules_beside(loaded)
    prefixes = tuple(f"{name}." for name in beside)
    tensors |= {name: tensor for name, tensor in weights.items() if name.startswith(prefixes)}
    save_file(
        {f"base_model.model.{name}": tensor.contiguous() for name, tensor in tensors.items()},
        part / _adapters.WEIGHTS[0],
        metadata={"format": "pt"},
    )
    config = copy.copy(config)
    config.base_model_name_or_path, config.inference_mode = _base(spec.model), True
    config.modules_to_save = sorted({*(config.modules_to_save or ()), *beside}) or None
    config.task_type, mapping = _task_type(spec, loaded), None
    if config.task_type is None:
        # AutoPeftModel reads the class from here.
        mapping = {"base_model_class": type(model).__name__, "parent_library": type(model).__module__}
    config.save_pretrained(part, auto_mapping_dict=mapping)


def _modules_beside(loaded: LoadedModel) -> list[str]:
    """Return the modules that an adapter folder must contain beside the adapter.

    They are the head that a run trains, and modules whose weights the base model does not store.
    """
    model = loaded.model
    heads = [name for name in _trainable.heads_of(model) if not _adapters.owns(model.get_submodule(name))]
    new = sorted({name.rpartition(".")[0] for name in loaded.new_weights})
    return heads + [name for name in new if not f"{name}.".startswith(tuple(f"{head}." for head in heads))]


def _task_type(spec: RunSpec, loaded: LoadedModel) -> str | None:
    if spec.head == "classification":
        return "SEQ_CLS"
    # peft has no type for masked language models.
    return None if loaded.family.masked else "CAUSAL_LM"


def _base(name: str) -> str:
    """Return the base model as it was given. A folder is made absolute, because an adapter may move."""
    name = _adapters.base_of(name) or name
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name not in models.builtin() and folder.is_dir() else name


def card(spec: RunSpec, row: Mapping[str, Any]) -> str:
    """Return the model card of a run's weights: method, task, score, and the row they belong to."""
    base = _base(spec.model)
    is_adapter = spec.trainable.startswith("lora") or spec.trainable == "adapter"
    test = row["test"]
    head = [f"library_name: {'peft' if is_adapter else 'transformers'}"]
    if base not in models.builtin() and not Path(base).is_absolute():
        # The hub accepts only its own names here.
        head.append(f"base_model: {base}")
    return "\n".join(
        [
            "---",
            *head,
            "---",
            f"# {base}, fine-tuned on {row['task_title']} with {row['label']}",
            "",
            "| | |",
            "|:--|:--|",
            f"| Base model | {base} |",
            f"| Method | {row['label']} |",
            f"| Task | {row['task_title']} |",
            f"| Weights trained | {spec.trainable} |",
            f"| Head | {spec.head} |",
            f"| Test {row['metric']} | {row['score']:.4f} (n = {test['n']}) |",
            f"| Test loss | {test['loss']:.4f} |",
            f"| Run | {row['id']} |",
            f"| Suite | {row['suite']} |",
            "",
            "The weights are those of the evaluation with the best validation score.",
            f"`{saved.RECORD}` contains the complete configuration of the run.",
            "",
            "## License",
            "",
            f"This folder adds no license. Those of {base} and of the training data apply.",
            "",
        ]
    )


def _sync(folder: Path) -> None:
    """Let others read the files of a folder, and wait until they are on the disk."""
    for file in folder.iterdir():
        file.chmod(0o644)
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _replace(part: Path, target: Path) -> None:
    """Rename a complete folder to its destination, where there may be an earlier model of the same run."""
    old = part.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def check_space(folder: Path, specs: Sequence[RunSpec]) -> None:
    """Check that the models of some runs fit on the disk, before any run starts.

    Args:
        folder: where they are saved; it, or a folder above it, exists.
        specs: the runs.

    Raises:
        UserError: they do not fit, or a model's configuration cannot be read.
    """
    sizes: dict[tuple[str, ...], int] = {}
    total = 0
    for spec in specs:
        key = (spec.model, spec.trainable, spec.dtype, spec.head)
        if key not in sizes:
            sizes[key] = bytes_of(spec)
        total += sizes[key] + OTHER_FILES
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if total > free:
        count = "the model needs" if len(specs) == 1 else f"the {len(specs)} models need"
        raise UserError(
            f"{count} {total / 1e9:.2f} GB, but the disk of {folder} has {free / 1e9:.2f} GB left: make "
            "room, or save to another disk"
        )


def bytes_of(spec: RunSpec) -> int:
    """Return the bytes of the weights that a run saves, from the model's configuration."""
    config = models.load_config(spec.model)
    labels = max(config.num_labels, 2) if spec.head == "classification" else None
    dtype = getattr(torch, spec.dtype)
    model = models.build(config, dtype=dtype, device="meta", head=spec.head, num_labels=labels)
    _trainable.select(model, spec.trainable, spec.model)
    everything = not _adapters.is_applied(model)
    tensors = [p for p in model.parameters() if everything or p.requires_grad]
    return sum(t.nbytes for t in (*tensors, *(model.buffers() if everything else ())))
