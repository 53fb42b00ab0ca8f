"""Tables that compare the methods: the evaluations, the peak memory, and the time of a step."""

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from benchmarks import registry
from benchmarks.report.provenance import provenance_fields
from benchmarks.report.tables import NONE
from benchmarks.results.order import sort_key
from benchmarks.studies._memory_tables import pipe
from benchmarks.studies._step_tables import together
from plots._memory import curve_label

RowsOf = Callable[[str], list[dict]]

MEMORY, SPEED = "memory-curves", "step-speed"
MODEL = "facebook/opt-13b"
CHECKPOINTING = ", checkpointing"
GB = 1e9


def tables() -> dict[str, Callable[[RowsOf], str]]:
    """Return the tables by full name, as functions of `rows_of`, which returns the rows of a study."""
    found: dict[str, Callable[[RowsOf], str]] = {"methods:overview": overview}
    for name in methods():
        found[f"methods:{name}-memory"] = partial(memory, name=name)
        found[f"methods:{name}-speed"] = partial(speed, name=name)
    return found


def owners(name: str) -> list[str]:
    """Return the studies whose rows a table shows.

    >>> owners("methods:mezo-svrg-speed")
    ['step-speed']
    """
    of_kind = {"memory": [MEMORY], "speed": [SPEED]}
    return of_kind.get(name.rpartition("-")[2], [MEMORY, SPEED])


def overview(rows_of: RowsOf) -> str:
    """Return a table with one line per method: evaluations, peak memory, and seconds per step."""
    peaks, seconds = training_peaks(rows_of(MEMORY)), step_seconds(rows_of(SPEED))
    batches = training_batches(rows_of(MEMORY))
    lines = []
    for name in methods():
        label = label_of(name)
        forwards, backwards = evaluations(name)
        lines.append(
            {
                "method": label,
                "forwards": f"{forwards}",
                "backwards": f"{backwards}",
                "forward passes per step": f"{forwards + 2 * backwards}",
                "batch": batches.get(label, NONE),
                "peak memory (GB)": _gb(peaks.get(label)),
                "with checkpointing (GB)": _gb(peaks.get(label + CHECKPOINTING)),
                "time per step (s)": f"{seconds[label]:.2f}" if label in seconds else NONE,
            }
        )
    return f"{pipe(lines)}\n\n{_note(rows_of)}"


def _note(rows_of: RowsOf) -> str:
    """Explain the columns of the overview and the source of their numbers."""
    timed = next(r for r in rows_of(SPEED) if "beyond_seconds" in r)
    fits = [r for r in rows_of(MEMORY) if r["what"] == "fits" and r["batch_size"] is None]
    threshold = next(r["fo_length"] for r in fits if r["label"] == "Addax")
    memory_from, speed_from = provenance_fields(rows_of(MEMORY)), provenance_fields(rows_of(SPEED))
    return (
        "A backward pass counts as two forward passes. The line of MeZO-SVRG describes a minibatch step; "
        "every q-th step evaluates the whole training set twice instead. "
        f"Memory: predicted for OPT-13B in bfloat16 and examples of {fits[0]['length']} tokens. The batch is "
        f"K0, K1, or both; Addax's K1 examples have at most {threshold} tokens "
        f"(commit {memory_from['commit']}). "
        f"Time: median on OPT-125M in {timed['dtype']}, {timed['batch_size']} x {timed['length']} tokens "
        f"per batch "
        f"({speed_from['hardware']}, {timed['threads']} threads; commit {speed_from['commit']})."
    )


def memory(rows_of: RowsOf, name: str) -> str:
    """Return a table of a method's peaks on OPT-13B in GB, with and without checkpointing."""
    label, lines = label_of(name), {}
    for row in rows_of(MEMORY):
        if (row["what"], row["kind"], row["model"]) != ("figure4", "predicted", MODEL) or row["adapters"]:
            continue
        if row["label"] == label:
            curve = "yes" if row["gradient_checkpointing"] else "no"
            line = lines.setdefault(curve, {"checkpointing": curve})
            line[f"{row['length']} tokens"] = _gb(row["peak_bytes"])
    if lines:
        return pipe([*lines.values()])
    peaks = training_peaks(rows_of(MEMORY))
    kinds = {"no": label, "yes": label + CHECKPOINTING}
    return pipe([{"checkpointing": k, "400 tokens": _gb(peaks[c])} for k, c in kinds.items() if c in peaks])


def speed(rows_of: RowsOf, name: str) -> str:
    """Return a table that compares a method's step times with the times of its bare evaluations."""
    lines = []
    for row in rows_of(SPEED):
        if row["way"] != label_of(name) or row.get("beyond_seconds") is None:
            continue
        bare = together(rows_of(SPEED), row)[0]
        lines.append(
            {
                "model": f"{row['shape']} {row['dtype']}",
                "bare evaluations": bare["way"],
                "evaluations (s)": f"{bare['seconds']:.2f}",
                "step (s)": f"{row['seconds']:.2f}",
                "overhead (s)": f"{row['beyond_seconds']:.2f}",
                "draws of z": f"{row['draws']:.0f}",
                "passes over theta": f"{row['passes']:.0f}",
            }
        )
    return pipe(lines) if lines else "The study `step-speed` has no rows for this method."


def methods() -> list[str]:
    """Return the command-line names of all methods, in the order of tables."""
    return sorted(registry.files("method"), key=lambda name: sort_key("", "", label_of(name)))


def label_of(name: str) -> str:
    """Return a method's name in tables, read from its file without importing it.

    >>> label_of("mezo-svrg")
    'MeZO-SVRG'
    """
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "label":
            return ast.literal_eval(node.value)
    return name


def evaluations(name: str) -> tuple[int, int]:
    """Return forwards and backwards per step, from the `Cost:` line of a method's docstring.

    The numbers do not include MeZO-SVRG's occasional steps over the whole training set.

    >>> evaluations("addax"), evaluations("mezo-svrg")
    ((3, 1), (4, 0))
    """
    text = " ".join((ast.get_docstring(_tree(name)) or "").split())
    found = re.search(r"Cost:.*?(\d+) forwards?, (\d+) backwards?", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def training_peaks(rows: Iterable[Mapping]) -> dict[str, int]:
    """Return predicted peaks on OPT-13B, in bytes, for training batches of 400 tokens, by curve."""
    return {
        curve_label(row): row["peak_bytes"]
        for row in rows
        if (row["what"], row["kind"], row["model"]) == ("fits", "predicted", MODEL)
        and row["batch_size"] is None
    }


def training_batches(rows: Iterable[Mapping]) -> dict[str, str]:
    """Return the batch sizes of `training_peaks`, K0 and K1, by curve."""
    sizes = ("zo_batch_size", "fo_batch_size")
    return {
        curve_label(row): " + ".join(str(row[size]) for size in sizes if row[size])
        for row in rows
        if (row["what"], row["model"], row["batch_size"]) == ("fits", MODEL, None)
    }


def step_seconds(rows: Iterable[Mapping]) -> dict[str, float]:
    """Return median seconds per step on OPT-125M in float32 on a CPU, by method."""
    return {
        row["way"]: row["seconds"]
        for row in rows
        if (row["shape"], row["dtype"], row["device"]) == ("opt-125m", "float32", "cpu")
        and "beyond_seconds" in row
    }


def _tree(name: str) -> ast.Module:
    return ast.parse(registry.files("method")[name].read_text(encoding="utf-8"))


def _gb(size: float | None) -> str:
    return NONE if size is None else f"{size / GB:.1f}"
