"""The papers' memory figures: `python -m benchmarks.studies.memory_curves [FIGURE ...] [--save]`.

Rows of kind "predicted" come from `benchmarks.memory.estimator`: a method's own step on OPT's own code, in
tensors that have no memory. Rows of kind "measured" have the same fields, and those that are committed stay.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from addax.memory import KINDS
from benchmarks import docs as readme
from benchmarks import models, registry
from benchmarks.config.methods import method_class
from benchmarks.errors import UserError, unknown
from benchmarks.memory import estimator as memory_model
from benchmarks.models._trainable import LORA_ALPHA
from benchmarks.profiling.peak_memory import provenance
from benchmarks.results import store
from benchmarks.results.frame import frame
from benchmarks.studies import _memory_page, _memory_tables
from benchmarks.studies._memory_points import GRIDS, RANK, Point
from plots.__main__ import FIGURES, figures, render

NAME = "memory"
DEVICE = "cuda"
LORA = {"r": RANK, "lora_alpha": LORA_ALPHA, "target_modules": ["q_proj", "v_proj"]}


def predict(point: Point) -> dict[str, Any]:
    """The part of a row that says how much memory a step takes, and where.

    Returns:
        split: bytes of each of `KINDS` at the peak; piece: where it is; peak_bytes; and, of a step with a
        backward pass, the same split where that begins and where it ends.
    """
    sizes = {"zo_loss": point.zo, "full_loss": point.zo, "fo_loss": point.fo}
    batches = {
        loss.removesuffix("_loss"): memory_model.synthetic([length] * count)
        for loss in method_class(point.method).closures
        for count, length in [sizes[loss]]
    }
    config = models.shape_of(point.model)
    found = memory_model.phase_peaks(point.spec, config, batches, DEVICE).bytes
    piece = max(found, key=lambda p: sum(found[p]))
    backward = [p for p in found if p[:2] == ("fo", "backward")]
    ends = {"start": max(backward, key=_layer), "end": min(backward, key=_layer)} if backward else {}
    return {
        "split": _split(found[piece]),
        "piece": list(piece),
        "peak_bytes": sum(found[piece]),
        "backward": {end: _split(found[at]) for end, at in ends.items()} or None,
    }


def _layer(piece: tuple) -> int:
    return piece[2]


def _split(held: Iterable[int]) -> dict[str, int]:
    return dict(zip(KINDS, held, strict=True))


def rows(points: Sequence[Point], processes: int) -> list[dict[str, Any]]:
    """A row for each point; steps that several points share are predicted once.

    Args:
        points: in the order of the rows.
        processes: that predict at once.

    Raises:
        UserError: a point has adapters and peft is not installed.
    """
    if any(point.adapters for point in points) and importlib.util.find_spec("peft") is None:
        raise UserError("LoRA is predicted with peft, which is not installed: pip install -e '.[harness]'")
    made_by = provenance()
    steps = list(dict.fromkeys(point.step for point in points))
    if processes == 1:
        found = dict(zip(steps, map(predict, steps), strict=True))
    else:
        with ProcessPoolExecutor(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            found = dict(zip(steps, pool.map(predict, steps), strict=True))
    return [_row(point) | found[point.step] | made_by for point in points]


def _row(point: Point) -> dict[str, Any]:
    (zo, zo_length), (fo, fo_length) = (batch or (0, None) for batch in (point.zo, point.fo))
    return {
        "benchmark": NAME,
        "kind": "predicted",
        "what": point.what,
        "device": DEVICE,
        "model": point.model,
        "method": point.method,
        "label": point.label,
        "adapters": LORA if point.adapters else None,
        "dtype": point.dtype,
        "gradient_checkpointing": point.gradient_checkpointing,
        "batch_size": point.batch_size,
        "length": point.length,
        "zo_batch_size": zo,
        "zo_length": zo_length,
        "fo_batch_size": fo,
        "fo_length": fo_length,
    }


def merged(new: Sequence[dict], target: Path) -> list[dict]:
    """Rows of a file with the predictions of the same figures replaced, in the order of figures."""
    old = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
    made = {row["what"] for row in new}
    kept = [row for row in old if row["kind"] == "measured" or row["what"] not in made]
    return sorted([*kept, *new], key=lambda row: (list(GRIDS).index(row["what"]), row["kind"] == "measured"))


def save(new: Sequence[dict]) -> list[Path]:
    """Keeps rows, and makes figures, the README's tables and `docs/memory.md` of them; the files written."""
    target = store.REFERENCE / f"{NAME}.jsonl"
    # As read back, so that a page of these rows is one of the committed ones.
    every = json.loads(json.dumps(merged(new, target), sort_keys=True))
    store.write_atomically(target, "".join(json.dumps(row, sort_keys=True) + "\n" for row in every))
    readme.refresh(registry.ROOT / "README.md")
    files = [target]
    if {row["what"] for row in every} == set(GRIDS):
        files.append(_memory_page.write(every))
    for what in dict.fromkeys(row["what"] for row in new):
        if what in figures():
            files += render(what, frame(every), FIGURES / NAME)
    return files


def main(words: Sequence[str] | None = None) -> int:
    """Predicts, prints a table, and with --save keeps rows, tables, page and figures; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.memory_curves", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="FIGURE", help=f"all (default), {', '.join(GRIDS)}")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="default: the cores")
    parser.add_argument(
        "--save", action="store_true", help="rows into results/reference/, tables, docs/memory.md, figures"
    )
    given = parser.parse_args(words)
    try:
        asked = [w for w in given.what if w != "all"] or list(GRIDS)
        for what in asked:
            if what not in GRIDS:
                raise unknown("figure", what, ["all", *GRIDS])
        start = time.perf_counter()
        made = rows([point for what in GRIDS if what in asked for point in GRIDS[what]()], given.processes)
        print(_memory_tables.points(made))
        print(f"{len(made)} points in {time.perf_counter() - start:.0f} s")
        for file in save(made) if given.save else []:
            print(file)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
