"""`docs/memory.md`: when Addax saves memory, with every number taken from committed rows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jinja2

from benchmarks.report.tables import NONE, provenance
from benchmarks.results.frame import ROOT
from benchmarks.studies._memory_tables import GIB, MEMORY, fits, pipe, published, table22
from plots._memory import CARDS, GB, largest, size_of, spelled

TEMPLATE, PAGE = "memory.md.jinja", "memory.md"
# What a backward pass costs in forward passes: one for the gradient of activations, one for that of weights.
BACKWARD, BACKWARD_FROZEN = 2, 1

PARTS = {"IP-SGD": ("first order",), "MeZO": ("zeroth order",), "Addax": ("mixed",)}
Curve = Mapping[int, Mapping[str, Any]]


def write(rows: Sequence[dict], root: Path = ROOT) -> Path:
    """Writes the page anew, from rows of `benchmarks.studies.memory_curves`."""
    page = root / "docs" / PAGE
    page.write_text(render(rows, root), encoding="utf-8")
    return page


def rewrite(root: Path = ROOT) -> Path:
    """Writes the page anew, from the committed rows."""
    return write(_reference(root, "memory"), root)


def render(rows: Sequence[dict], root: Path = ROOT) -> str:
    """The page's text.

    Args:
        rows: of `benchmarks.studies.memory_curves`, of every figure.
        root: the folder that holds `docs/` and `results/`.
    """
    folder = jinja2.FileSystemLoader(root / "docs")
    page = jinja2.Environment(
        loader=folder, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return page.get_template(TEMPLATE).render(facts(rows, root))


def facts(rows: Sequence[dict], root: Path) -> dict[str, Any]:
    """What the template's words name."""
    predicted = [row for row in rows if row["kind"] == "predicted"]
    of: dict[str, dict[int, dict]] = {}
    for row in predicted:
        if row["what"] == "figure4":
            of.setdefault(spelled(row), {})[row["length"]] = row
    lengths = list(of["SGD"])
    first, last = lengths[0], lengths[-1]
    return {
        "first": first,
        "last": last,
        "l_t": of["Addax"][last]["fo_length"],
        "k0": of["Addax"][last]["zo_batch_size"],
        "k1": of["Addax"][last]["fo_batch_size"],
        "batch_size": of["SGD"][last]["batch_size"],
        "gb": lambda name, at=last: f"{of[name][at]['peak_bytes'] / GB:.1f} GB",
        "less": lambda name, than, at=last: _less(of[name][at], of[than][at]),
        "card": lambda name, at=last: _card(of[name][at]["peak_bytes"]),
        "below": lambda name, than: _below(of[name], of[than]),
        "met": {name: met(of[name]) for name in ("SGD", "SGD, checkpointing")},
        "gap": lambda at=last: f"{(_peak(of['IP-SGD'][at]) - _peak(of['SGD'][at])) / GB:+.1f} GB",
        "peaks": pipe([{"method": n} | {f"{at}": _gb(_peak(c[at])) for at in c} for n, c in of.items()]),
        "ends": pipe([_ends(at, of) for at in lengths]),
        "work": pipe([_work(n, c, [at for at in (300, last) if at in c]) for n, c in of.items()]),
        "times": lambda name, than, at=last: f"{_passes(of[name][at]) / _passes(of[than][at]):.2f}",
        **_differences(predicted),
        "larger": _larger(predicted),
        "fits": fits(rows),
        "table22": table22(rows),
        "off": {device: _off(root, device) for device in ("cpu", "cuda")},
        "measured": sum(row["kind"] == "measured" for row in rows),
        "seconds": _seconds(_reference(root, "speed-step")),
        "provenance": provenance(predicted),
    }


def _peak(row: Mapping) -> int:
    return row["peak_bytes"]


def _gb(held: float) -> str:
    return f"{held / GB:.1f}"


def _less(row: Mapping, than: Mapping) -> str:
    saved = _peak(than) - _peak(row)
    return f"{_gb(saved)} GB ({100 * saved / _peak(than):.0f} %)"


def _card(held: int) -> str:
    return next((f"{card} GB" for card in CARDS if held <= card * GB), f"more than {CARDS[-1]} GB")


def _below(curve: Curve, other: Curve) -> int | None:
    """The first length at which a curve lies below another."""
    return next((at for at in curve if _peak(curve[at]) < _peak(other[at])), None)


def met(sgd: Curve) -> int | None:
    """The length from which on the start of SGD's backward pass holds more than its end; None if none does.

    There SGD's peak moves to where IP-SGD's is. Between the lengths of the rows bytes are taken to grow
    linearly.
    """
    over = {at: _held(row, "start") - _held(row, "end") for at, row in sgd.items()}
    for low, high in zip(over, list(over)[1:], strict=False):
        if over[low] < 0 <= over[high]:
            return round(low + (high - low) * over[low] / (over[low] - over[high]))
    return None


def _held(row: Mapping, end: str) -> int:
    return sum(row["backward"][end].values())


def _ends(at: int, of: Mapping[str, Curve]) -> dict[str, str]:
    """What SGD holds at both ends of its backward pass, and both peaks, in GB."""
    row = of["SGD"][at]
    start, end = row["backward"]["start"], row["backward"]["end"]
    return {
        "length": f"{at}",
        "activations, start": _gb(start["activations"]),
        "gradients, end": _gb(end["gradients"]),
        "all, start": _gb(_held(row, "start")),
        "all, end": _gb(_held(row, "end")),
        "SGD's peak": _gb(_peak(row)),
        "IP-SGD's peak": _gb(_peak(of["IP-SGD"][at])),
    }


def _work(name: str, curve: Curve, lengths: Iterable[int]) -> dict[str, str]:
    """Forward passes of one token in a step, in thousands."""
    return {"method": name} | {f"at {at} tokens": f"{_passes(curve[at]) / 1e3:.1f}" for at in lengths}


def _passes(row: Mapping) -> int:
    backward = BACKWARD_FROZEN if row["adapters"] else BACKWARD
    zo, fo = (row[f"{part}_batch_size"] * (row[f"{part}_length"] or 0) for part in ("zo", "fo"))
    return 2 * zo + (1 + backward + row["gradient_checkpointing"]) * fo


def _differences(rows: Iterable[dict]) -> dict[str, str]:
    """What the page says of the numbers of MeZO's Table 22."""
    printed = published("Table 22")
    of = {(size_of(r["model"]), r["method"], r["dtype"]): r for r in rows if r["what"] == "table22"}
    mezo = {size: printed[f"OPT-{size}", "zero-shot/MeZO", MEMORY] for size in ("13B", "30B")}
    adam = {size: printed[f"OPT-{size}", "FT (Adam)", MEMORY] for size in ("1.3B", "13B")}
    return {
        "printed_30b": f"{mezo['30B']:g}",
        "weights_30b": _gb(of["30B", "mezo", "bfloat16"]["split"]["parameters"]),
        "ratio_13b": f"{adam['13B'] / mezo['13B']:.0f}",
        "ratio_one": f"{adam['1.3B'] * GIB / _peak(of['1.3B', 'adam', 'float32']):.1f}",
    }


def _larger(rows: Sequence[dict]) -> str:
    """Cards on which Addax trains a larger OPT than IP-SGD, both with checkpointing, training's batches."""
    here = [row for row in rows if row["what"] == "fits" and row["batch_size"] != 1]
    found = []
    for card in CARDS:
        best = {
            name: largest([row for row in here if spelled(row) == f"{name}, checkpointing"], card)
            for name in ("Addax", "IP-SGD")
        }
        addax, ip_sgd = (size_of(best[name][0]) if best[name] else NONE for name in ("Addax", "IP-SGD"))
        if addax != ip_sgd:
            found.append(f"{card} GB ({addax} instead of {ip_sgd})")
    return ", ".join(found)


def _off(root: Path, device: str) -> dict[str, Any] | None:
    """How far predictions are from measured peaks, in percent; None where nothing was measured."""
    rows = [row for row in _reference(root, "agreement") if row["device"] == device]
    rows = [row for row in rows if row["measured_bytes"]]
    if not rows:
        return None
    off = [abs(100 * (row["predicted_bytes"] / row["measured_bytes"] - 1)) for row in rows]
    return {"n": len(rows), "most": f"{max(off):.2f}", "median": f"{median(off):.3f}"}


def _reference(root: Path, name: str) -> list[dict]:
    file = root / "results" / "reference" / f"{name}.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _seconds(rows: Sequence[dict]) -> dict[str, str]:
    """Seconds of a step of `benchmarks.studies.speed step`, by method."""
    return {row["way"]: f"{row['seconds']:.1f} s" for row in rows if row["part"] in PARTS.get(row["way"], ())}


def _equal_time(rows: Sequence[dict]) -> str:
    """Test scores of runs that trained for the same time."""
    trained = [row for row in rows if row["label"] != "zero-shot"]
    return ", ".join(f"{row['label']} {100 * row['score']:.1f} %" for row in trained)
