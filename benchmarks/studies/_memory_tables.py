"""Tables of the study `memory_curves`: peaks, work, backward passes, Table 22, and largest models."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from benchmarks.report.tables import NONE
from benchmarks.results.sources import ROOT
from plots._memory import CARDS, curve_label, largest, size_of

PUBLISHED = ROOT / "results" / "published.csv"
GB, GIB = 1e9, 2**30
# Cost of a backward pass in forward passes: one for the gradients of activations, and one for those of the
# weights if they are trained.
BACKWARD, BACKWARD_FROZEN = 2, 1
# Lengths in tokens at which the work table compares methods.
WORK_LENGTHS = (300, 1000)
MEMORY, GPUS = "peak memory summed over GPUs", "A100-80GB GPUs needed"


def points(rows: Sequence[dict]) -> str:
    """Return a table of all rows with the peak in GB, its composition, and its position within the step."""
    lines = [
        {
            "figure": row["what"],
            "model": row["model"],
            "method": curve_label(row),
            "dtype": row["dtype"],
            "batches": _batches(row),
            "peak (GB)": f"{row['peak_bytes'] / GB:.2f}",
            **{kind: f"{size / GB:.2f}" for kind, size in row["split"].items()},
            "phase of the peak": " ".join(map(str, row["piece"])),
        }
        for row in rows
    ]
    return tabulate(lines, headers="keys", disable_numparse=True)


def _batches(row: dict) -> str:
    parts = ((row["zo_batch_size"], row["zo_length"], "zo"), (row["fo_batch_size"], row["fo_length"], "fo"))
    return " + ".join(f"{size} x {length} {part}" for size, length, part in parts if size)


def curves(rows: Iterable[dict]) -> dict[str, dict[int, dict]]:
    """Return the predicted rows of Figure 4 as method -> length in tokens -> row."""
    found: dict[str, dict[int, dict]] = {}
    for row in _predicted(rows, "figure4"):
        found.setdefault(curve_label(row), {})[row["length"]] = row
    return found


def peaks(rows: Sequence[dict]) -> str:
    """Return a table of peaks in GB, with a line per method and a column per length in tokens."""
    return pipe(
        [
            {"method": name} | {f"{length}": _gb(row["peak_bytes"]) for length, row in curve.items()}
            for name, curve in curves(rows).items()
        ]
    )


def work(rows: Sequence[dict]) -> str:
    """Return a table of the work of a step in thousands of token forward passes, with a line per method."""
    return pipe(
        [
            {"method": name} | {f"at {n} tokens": f"{_passes(curve[n]) / 1e3:.1f}" for n in WORK_LENGTHS}
            for name, curve in curves(rows).items()
        ]
    )


def _passes(row: Mapping) -> int:
    backward = BACKWARD_FROZEN if row["adapters"] else BACKWARD
    zo, fo = (row[f"{part}_batch_size"] * (row[f"{part}_length"] or 0) for part in ("zo", "fo"))
    return 2 * zo + (1 + backward + row["gradient_checkpointing"]) * fo


def backward_ends(rows: Sequence[dict]) -> str:
    """Return a table of SGD's memory at the start and end of its backward pass, and peaks of SGD and IP-SGD.

    All sizes are in GB.
    """
    of = curves(rows)
    lines = []
    for length, row in of["SGD"].items():
        start, end = row["backward"]["start"], row["backward"]["end"]
        lines.append(
            {
                "length": f"{length}",
                "activations, start": _gb(start["activations"]),
                "gradients, end": _gb(end["gradients"]),
                "total, start": _gb(sum(start.values())),
                "total, end": _gb(sum(end.values())),
                "SGD's peak": _gb(row["peak_bytes"]),
                "IP-SGD's peak": _gb(of["IP-SGD"][length]["peak_bytes"]),
            }
        )
    return pipe(lines)


def _gb(size: float) -> str:
    return f"{size / GB:.1f}"


def published(table: str, file: Path = PUBLISHED) -> dict[tuple[str, str, str], float]:
    """Return a table of the MeZO paper as (model, method, metric) -> value."""
    with file.open(encoding="utf-8", newline="") as lines:
        return {
            (line["model"], line["method"], line["metric"]): float(line["value"])
            for line in csv.DictReader(lines)
            if (line["paper"], line["table"]) == ("MeZO", table)
        }


def table22(rows: Sequence[dict]) -> str:
    """Return Table 22 of the MeZO paper, published and predicted, with a line per model.

    Sizes are in GiB, the unit of nvidia-smi.
    """
    printed = published("Table 22")
    of = {(r["model"], r["method"], r["dtype"]): r for r in _predicted(rows, "table22")}
    lines = []
    for model in dict.fromkeys(model for model, _, _ in of):
        title = f"OPT-{size_of(model)}"
        mezo = of[model, "mezo", "bfloat16"]
        memory, gpus = (printed.get((title, "FT (Adam)", metric)) for metric in (MEMORY, GPUS))
        gpus = gpus if gpus or memory is None else 1
        lines.append(
            {
                "model": title,
                "MeZO, published": _number(printed.get((title, "zero-shot/MeZO", MEMORY))),
                "MeZO, predicted": _gib(mezo["peak_bytes"]),
                "weights, predicted": _gib(mezo["split"]["parameters"]),
                "Adam, published": _number(memory),
                "A100-80GB GPUs": _number(gpus),
                "published, per GPU": _number(memory / gpus if memory else None),
                "Adam float32, predicted": _gib(of[model, "adam", "float32"]["peak_bytes"]),
                "Adam bfloat16, predicted": _gib(of[model, "adam", "bfloat16"]["peak_bytes"]),
            }
        )
    return pipe(lines)


def largest_model(rows: Sequence[dict]) -> str:
    """Return tables of the largest OPT that fits on a GPU, for one example and for training batches."""
    found = _predicted(rows, "fits")
    blocks = []
    for one, title in ((True, "One example of 400 tokens"), (False, "Training batches of 400 tokens")):
        here = [row for row in found if (row["batch_size"] == 1) == one]
        printed = published("Figure 4") if one else {}
        lines = []
        for name in dict.fromkeys(map(curve_label, here)):
            of_method = [row for row in here if curve_label(row) == name]
            line = {"method": name, "batches": _sizes(of_method[0])}
            best = {card: largest(of_method, card) for card in CARDS}
            line |= {f"{card} GB": size_of(b[0]) if b else NONE for card, b in best.items()}
            if one:
                key = ("1x A100-80GB", {"MeZO": "MeZO/inference", "Adam float32": "FT"}.get(name, ""))
                value = printed.get((*key, "largest OPT that fits"))
                line["MeZO's Figure 4, 80 GB"] = f"{value:g}B" if value else ""
            lines.append(line)
        blocks.append(f"{title}:\n\n{pipe(lines)}")
    return "\n\n".join(blocks)


def _sizes(row: dict) -> str:
    return " + ".join(str(row[key]) for key in ("zo_batch_size", "fo_batch_size") if row[key])


def _predicted(rows: Iterable[dict], what: str) -> list[dict]:
    return [row for row in rows if (row["kind"], row["what"]) == ("predicted", what)]


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"


def pipe(lines: Sequence[dict]) -> str:
    """Return a Markdown table of dictionaries with equal keys: a column of text, then columns of numbers."""
    align = ["left", *["right"] * (len(lines[0]) - 1)] if lines else None
    return tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=align)


# Tables for pages, by kind.
PAGE = {
    "peaks": peaks,
    "work": work,
    "backward-ends": backward_ends,
    "table22": table22,
    "largest-model": largest_model,
}
