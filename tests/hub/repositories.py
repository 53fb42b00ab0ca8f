"""Repositories in the layout of the hub's: the suite's data sets, with invented rows, and the nano models."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import models, registry, tasks
from tests.benchmarks.tasks.task_rows import FIXTURES
from tests.hub.server import HubServer

# Label names of the hub's data sets, by repository and configuration.
LABELS = {
    ("nyu-mll/glue", "cola"): {"label": ["unacceptable", "acceptable"]},
    ("nyu-mll/glue", "mrpc"): {"label": ["not_equivalent", "equivalent"]},
    ("nyu-mll/glue", "sst2"): {"label": ["negative", "positive"]},
    ("nyu-mll/glue", "mnli"): {"label": ["entailment", "neutral", "contradiction"]},
    ("nyu-mll/glue", "qnli"): {"label": ["entailment", "not_entailment"]},
    ("aps/super_glue", "boolq"): {"label": ["False", "True"]},
    ("aps/super_glue", "cb"): {"label": ["entailment", "contradiction", "neutral"]},
    ("aps/super_glue", "copa"): {"label": ["choice1", "choice2"]},
    ("aps/super_glue", "multirc"): {"label": ["False", "True"]},
    ("aps/super_glue", "rte"): {"label": ["entailment", "not_entailment"]},
    ("aps/super_glue", "wic"): {"label": ["False", "True"]},
    ("aps/super_glue", "wsc.fixed"): {"label": ["False", "True"]},
    ("stanfordnlp/snli", None): {"label": ["entailment", "neutral", "contradiction"]},
    ("CogComp/trec", None): {
        "coarse_label": ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"],
        "fine_label": [f"fine:{i}" for i in range(50)],
    },
}
# The hub's name of the only configuration of a data set, if it has a folder.
ONLY = {"rajpurkar/squad": "plain_text", "stanfordnlp/snli": "plain_text"}
# The field of a raw row to which a number is added, so that a few rows become many.
TEXTS = ("context", "passage", "paragraph", "premise", "text", "sentence", "sentence1", "question")
SPLITS = {"train": 24, "validation": 12}
MODELS = {
    "facebook/opt-125m": "nano-opt",
    "HuggingFaceTB/SmolLM-135M": "nano-llama",
    "FacebookAI/roberta-large": "nano-roberta",
}


def hub_tasks() -> dict[str, tasks.Task]:
    """Return the tasks whose rows are on the hub and have recorded raw rows."""
    found = {name: tasks.load(name) for name in registry.files("task")}
    return {name: task for name, task in found.items() if task.hub and not task.rows_of}


def raw_rows(task: str, split: str) -> list[dict[str, Any]]:
    """Return different rows in the hub's form, enough for a small run."""
    recorded = FIXTURES[task]["hub"]
    found = []
    for i in range(SPLITS[split]):
        row = recorded[i % len(recorded)]
        name = next(name for name in TEXTS if name in row)
        found.append(row | {name: f"{row[name].strip()} {split[0].upper()}{i}."})
    return found


def add_data(server: HubServer, *names: str) -> None:
    """Add the data sets of tasks, or of all tasks, each with all its configurations."""
    files: dict[str, dict[str, bytes]] = {}
    configs: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for name, task in hub_tasks().items():
        hub = task.hub
        if hub.dataset not in {tasks.load(chosen).hub.dataset for chosen in names or hub_tasks()}:
            continue
        of_repo = files.setdefault(hub.dataset, {})
        for split, hub_split in (("train", hub.train), ("validation", hub.validation)):
            path, data = _stored(name, task, split, hub_split)
            of_repo[path] = data
            config = hub.config or ONLY.get(hub.dataset)
            if config is not None and not hub.revision:
                configs.setdefault(hub.dataset, {}).setdefault(config, []).append((hub_split, path))
    for dataset, content in files.items():
        revision = next(t.hub.revision for t in hub_tasks().values() if t.hub.dataset == dataset)
        if revision is not None:
            # Only the converted branch can be read. The main branch has a script.
            script = f"{dataset.rpartition('/')[2]}.py"
            server.add("dataset", dataset, {"README.md": b"# Script\n", script: b"raise SystemExit\n"})
            server.add("dataset", dataset, {**content, ".gitattributes": b""}, ref=revision)
        else:
            server.add("dataset", dataset, {**content, "README.md": _card(configs.get(dataset, {}))})


def add_model(server: HubServer, name: str, built_in: str, **changes: bytes) -> str:
    """Add a commit with a built-in model's files, and return it."""
    folder = models.WEIGHTS / built_in
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    return server.add("model", name, {**files, "README.md": b"# Nano\n", **changes})


def _stored(name: str, task: tasks.Task, split: str, hub_split: str) -> tuple[str, bytes]:
    """Return the path and the content of a split's file."""
    hub, rows = task.hub, raw_rows(name, split)
    if hub.dataset == "SetFit/sst5":
        file = {"train": "train.jsonl", "validation": "dev.jsonl"}[split]
        return file, "".join(json.dumps(row) + "\n" for row in rows).encode()
    if hub.revision is not None:
        return f"default/{hub_split}/0000.parquet", _parquet(rows, LABELS.get((hub.dataset, hub.config), {}))
    config = hub.config or ONLY.get(hub.dataset, "data")
    table = _parquet(rows, LABELS.get((hub.dataset, hub.config), {}))
    return f"{config}/{hub_split}-00000-of-00001.parquet", table


def _parquet(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[str]]) -> bytes:
    import pyarrow as pa
    from datasets import ClassLabel, Features
    from pyarrow import parquet

    features = Features.from_arrow_schema(pa.Table.from_pylist([*rows]).schema)
    features.update({name: ClassLabel(names=[*words]) for name, words in labels.items()})
    buffer = io.BytesIO()
    # The schema contains the names of the labels, as in the hub's files.
    parquet.write_table(pa.Table.from_pylist([*rows], schema=features.arrow_schema), buffer)
    return buffer.getvalue()


def _card(configs: Mapping[str, Sequence[tuple[str, str]]]) -> bytes:
    lines = ["---", "license: other"]
    if configs:
        lines.append("configs:")
    for config, found in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, path in found:
            lines += [f"  - split: {split}", f"    path: {path.replace('00000-of-00001.parquet', '*')}"]
    return "\n".join([*lines, "---", "# Data", ""]).encode()
