"""Synthetic result rows with invented numbers, for tests of tables and figures."""

import math
from functools import partial
from random import Random

TITLES = {
    "sst2": "SST-2",
    "rte": "RTE",
    "cb": "CB",
    "boolq": "BoolQ",
    "wsc": "WSC",
    "wic": "WIC",
    "multirc": "MultiRC",
    "record": "ReCoRD",
    "squad": "SQuAD",
}
# method -> label, number of steps, seconds per step, peak bytes, final gain over zero-shot
METHODS = {
    "zero-shot": ("zero-shot", 0, 0.0, 2.1e6, 0.0),
    "addax": ("Addax", 400, 0.021, 5.2e6, 0.40),
    "mezo": ("MeZO", 4000, 0.012, 3.1e6, 0.24),
    "mezo-svrg": ("MeZO-SVRG", 1500, 0.05, 5.0e6, 0.22),
    "ip-sgd": ("IP-SGD", 400, 0.015, 6.3e6, 0.36),
    "sgd": ("SGD", 400, 0.016, 8.0e6, 0.365),
    "adam": ("Adam", 200, 0.018, 12.4e6, 0.45),
}


def row(
    method="addax", task="sst2", model="nano-opt", seed=0, status="done", label=None, reason=None, **settings
):
    """Return one row; `settings` become its config's settings, except that length_threshold is a field."""
    default_label, steps, step_seconds, peak, gain = METHODS[method]
    noise = Random(f"{method} {task} {model} {seed} {sorted(settings.items())}")
    start = 0.5 + 0.05 * noise.random() if task != "squad" else 0.04
    length = 1 + list(TITLES).index(task) / 4 if task in TITLES else 1.0
    zo, fo = {"addax": (6, 4), "mezo": (16, 0), "mezo-svrg": (64, 0), "zero-shot": (0, 0)}.get(method, (0, 8))
    settings = {
        "lr": 1e-3,
        "alpha": 1e-3,
        "eps": 1e-3,
        "zo_batch_size": zo,
        "fo_batch_size": fo,
    } | settings
    length_threshold = settings.pop("length_threshold", 40)
    curve = []
    for k in range(11):
        step = steps * k // 10
        score = start + gain * (1 - math.exp(-k / 3)) + (0.02 * noise.gauss(0, 1) if k else 0)
        curve.append(
            {
                "step": step,
                "train_seconds": step * step_seconds * length,
                "examples_forward": step * (2 * settings["zo_batch_size"] + settings["fo_batch_size"]),
                "examples": step * (settings["zo_batch_size"] + settings["fo_batch_size"]),
                "forward_equivalents": step * (2 * settings["zo_batch_size"] + 3 * settings["fo_batch_size"]),
                "score": min(score, 1.0),
                "loss": 0.75 * math.exp(-1.5 * (score - start)),
                "auc": score,
                "train_loss": None if k == 0 else 0.7,
            }
        )
    curve = curve if steps else curve[:1]
    best = max(curve, key=lambda e: e["score"])
    metric = "f1" if task == "squad" else "accuracy"
    done = status == "done"
    return {
        "schema": 2,
        "id": f"{method}-{task}-{model}-{seed}-{abs(noise.getrandbits(32)):08x}",
        "suite": "quick",
        "status": status,
        "reason": reason,
        **({"batch_sizes_tried": [8, 4, 2, 1]} if status == "OOM" else {}),
        "config": {
            "method": method,
            "model": model,
            "task": task,
            "data": "builtin",
            "seed": seed,
            "data_seed": 0,
            "dtype": "float32",
            "device": "cpu",
            "steps": steps,
            "head": None,
            "scoring": "shared",
            "gradient_checkpointing": False,
            "trainable": "all",
            "length_threshold": length_threshold,
            "settings": settings,
        },
        "label": label or default_label,
        "task_title": TITLES.get(task, task),
        "metric": metric,
        "score": best["score"] - 0.01 if done else None,
        "test": {"score": best["score"] - 0.01, "loss": best["loss"], "auc": best["score"], "n": 200}
        if done
        else None,
        "validation": {"score": best["score"], "loss": best["loss"], "n": 100} if done else None,
        "best_step": best["step"] if done else None,
        "curve": curve if done else curve[:2],
        "step_seconds": step_seconds * length if done else None,
        "train_seconds": curve[-1]["train_seconds"],
        "train_seconds_to_best": best["train_seconds"] if done else None,
        "peak_bytes": int(peak * length) if done else None,
        "peak_how": "cpu live tensor bytes",
        "versions": {"python": "3.12.3", "torch": "2.13.0", "transformers": "5.23.0", "addax": "0.1.0"},
        "hardware": "x86_64, 2 cores",
        "threads": 1,
        "jobs": 2,
        "git_commit": "0123456789abcdef",
        "git_dirty": False,
        "data_fingerprint": "d" * 16,
        "source_fingerprint": "s" * 16,
        "started": f"2026-03-01T10:{len(task):02d}:00+00:00",
        "ended": f"2026-03-01T10:{20 + len(task)}:00+00:00",
    }


def with_lengths(rows, tokens=40):
    """Return finished rows with invented scores on long and short test rows."""
    parts = [("test_long", -0.1), ("test_short", -0.02)]
    return [
        row
        | {"long_above_tokens": tokens}
        | {name: {"score": max(row["score"] + gain, 0), "n": 100} for name, gain in parts}
        for row in rows
    ]


def with_majority(rows):
    """Return rows with invented majority scores: equal for rows of a task with equal data seeds."""
    places = (
        ("majority", 0.0),
        ("majority_validation", 0.02),
        ("majority_long", 0.04),
        ("majority_short", 0.06),
    )
    return [
        row
        | {
            name: Random(f"{row['config']['task']} {row['config']['seed']}").random() / 2 + more
            for name, more in places
        }
        for row in rows
    ]


def signed(rows):
    """Return rows whose metric is Matthews correlation, with scores that are partly negative."""

    def moved(part):
        return part | {"score": 2 * (part["score"] - 0.9)} if part and part.get("score") is not None else part

    return [
        moved(row)
        | {
            "metric": "matthews",
            "curve": [*map(moved, row["curve"])],
            "validation": moved(row.get("validation")),
        }
        for row in rows
    ]


def runs(scores, task="sst2", status="done"):
    """Return rows of methods with given scores.

    Args:
        scores: for each method, (seed, data_seed) -> score, or a list of scores whose seeds both count up.
    """
    rows = []
    for method, by_seed in scores.items():
        by_seed = by_seed if isinstance(by_seed, dict) else {(k, k): score for k, score in enumerate(by_seed)}
        for (seed, data_seed), score in by_seed.items():
            one = row(method, task, seed=seed, status=status) | {"score": score}
            one["config"]["data_seed"] = data_seed
            rows.append(one)
    return rows


def precision():
    """Return rows of `benchmarks.studies.precision` for two sets of weights."""
    rows = []
    for weights in ("synthetic", "smollm2-135m"):
        for dtype, unit in (("float32", 1e-7), ("bfloat16", 4e-3), ("float16", 5e-4)):
            common = {"study": "precision", "weights": weights, "dtype": dtype, "threads": 1}
            for arithmetic, scale in (("released", unit), ("exact", 0.0)):
                shared = common | {"measure": "drift", "arithmetic": arithmetic}
                rows += [shared | {"steps": n, "drift": scale * n**0.5} for n in (1, 10, 100, 2000)]
            rounding_loss = 1e3 * unit
            arithmetics = [
                ("released", None, rounding_loss),
                ("exact", "nearest", rounding_loss),
                ("exact", "stochastic", 0.0),
            ]
            if dtype == "float32":
                arithmetics = [("released", None, 0.0), ("exact", None, 0.0)]
            for size in (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2):
                measured = {"measure": "fraction", "size": size, "standard_error": 1e-6 / size**0.5}
                rows += [
                    common
                    | measured
                    | {"arithmetic": a, "rounding": r, "fraction": size / (size + 1e-5 * loss)}
                    for a, r, loss in arithmetics
                ]
    return rows


def suite(models=("nano-opt",), seeds=(0,), methods=tuple(METHODS), tasks=tuple(TITLES)):
    """Return rows of every method on every task with every model."""
    return [row(m, t, model, s) for model in models for t in tasks for m in methods for s in seeds]


def k0_sweep(model="nano-opt", task="sst2", seeds=(0,), sizes=(0, 1, 2, 4, 6, 8, 12, 16)):
    """Return rows of Addax with K1 = 4 and several K0; K0 = 0 is IP-SGD."""
    return [
        row("addax" if size else "ip-sgd", task, model, s, zo_batch_size=size, fo_batch_size=4)
        for size in sizes
        for s in seeds
    ]


def sensitivity(model="nano-opt", task="rte"):
    """Return rows of Addax at one setting with five seeds, and at variations of it with one seed.

    The variations are a grid of alpha and K0, several L_T, and several eps.
    """
    middle = {"lr": 3e-4, "alpha": 1e-3, "zo_batch_size": 6, "eps": 1e-3, "length_threshold": "q0.75"}
    swept = [{"alpha": a, "zo_batch_size": k} for a in (1e-4, 1e-3, 1e-2) for k in (2, 4, 6, 16)]
    swept += [{"length_threshold": value} for value in ("q0.25", "q0.5", "q0.9", None)]
    swept += [{"eps": value} for value in (1e-4, 1e-2)]
    rows = [row("addax", task, model, **middle | changes) for changes in swept]
    return rows + [row("addax", task, model, seed, **middle) for seed in range(1, 5)]


def figure11(model="nano-opt", task="squad", seeds=(0, 1, 2)):
    """Return rows for Figure 11: Addax-WA and MeZO with 16 examples per step, Addax with K1 = 4, SGD with 16.

    Rows with other batch sizes belong to neither comparison.
    """
    sizes = (
        ("addax", "Addax-WA", {"zo_batch_size": 12, "fo_batch_size": 4, "length_threshold": None}),
        ("addax", "Addax-WA", {"zo_batch_size": 6, "fo_batch_size": 4, "length_threshold": None}),
        ("mezo", "MeZO", {"zo_batch_size": 16}),
        ("mezo", "MeZO", {"zo_batch_size": 64}),
        ("addax", "Addax", {"zo_batch_size": 6, "fo_batch_size": 4}),
        ("sgd", "SGD", {"fo_batch_size": 16}),
        ("sgd", "SGD", {"fo_batch_size": 8}),
    )
    return [
        row(method, task, model, s, label=label, **batch) for method, label, batch in sizes for s in seeds
    ]


def small_batches(model="facebook/opt-13b", tasks=("sst2", "rte"), seeds=(0, 1, 2)):
    """Return rows of IP-SGD with three batch sizes and growing peaks, and of Adam with one batch size."""
    rows = []
    for method, size in (("ip-sgd", 2), ("ip-sgd", 4), ("ip-sgd", 8), ("adam", 8)):
        for task in tasks:
            for seed in seeds:
                one = row(method, task, model, seed, fo_batch_size=size)
                one["peak_bytes"] = {"ip-sgd": 26e9 + 1.5e9 * size, "adam": 240e9}[method]
                rows.append(one)
    return rows


def lengths(sources=(("builtin", "nano-opt"), ("folder", "smollm2-135m"))):
    """Return rows of `benchmarks.studies.lengths`.

    D1 has six bins of 10, 20, ... examples, and D0 has three bins of 20 examples.
    """
    rows = []
    for data, tokenizer in sources:
        for i, (task, title) in enumerate(TITLES.items()):
            width, at = i + 1, 40 + 30 * i
            counts = [10 * k for k in range(1, 7)] + [20] * 3
            edges = [at + 0.5 + width * (k - 6) for k in range(10)]
            rows.append(
                {
                    "study": "lengths",
                    "data": data,
                    "task": task,
                    "task_title": title,
                    "tokenizer": tokenizer,
                    "max_length": 2048,
                    "n": sum(counts),
                    "minimum": int(edges[0] + 0.5),
                    "maximum": int(edges[-1] - 0.5),
                    "length_threshold": "q0.75",
                    "length_threshold_tokens": at,
                    "d0_rows": 60,
                    "d1_rows": 210,
                    "edges": edges,
                    "counts": counts,
                }
            )
    return rows


# Model sizes in 10^9 parameters.
OPTS = {f"facebook/opt-{size}b": size for size in (1.3, 13, 30, 66)}
# Bytes per parameter and per token that a method needs beyond the weights.
BYTES_BEYOND_WEIGHTS = {
    ("mezo", "MeZO"): (0, 0),
    ("ip-sgd", "IP-SGD"): (0, 5e6),
    ("sgd", "SGD"): (2, 5e6),
    ("adam", "LoRA with Adam"): (0, 6e6),
    ("addax", "Addax"): (0, 5e6),
}


def memory_row(
    what, model, method, label, batch_size, length, checkpointing=False, kind="predicted", **fields
):
    """Return a row of `memory_curves` with invented sizes; the peak is at either end of the backward pass."""
    per_parameter, per_token = BYTES_BEYOND_WEIGHTS.get((method, label), (6, 5e6))
    size = OPTS[model] * 1e9
    zo = batch_size or 6 if method in ("mezo", "addax") else 0
    fo = {"mezo": 0, "addax": 4}.get(method, batch_size or 8)
    fo_length = min(length, 170) if method == "addax" else length
    activations = fo * fo_length * per_token / (8 if checkpointing else 1)
    split = dict.fromkeys(("gradients", "optimizer_state", "activations", "scratch"), 0)
    split["parameters"] = int(2 * size)
    ends = {
        "start": split | {"activations": int(activations)},
        "end": split | {"gradients": int(per_parameter * size)},
    }
    largest = max(ends, key=lambda end: sum(ends[end].values()))
    return {
        "study": "memory-curves",
        "kind": kind,
        "what": what,
        "device": "cuda",
        "model": model,
        "method": method,
        "label": label,
        "adapters": {"r": 8} if label.startswith("LoRA") else None,
        "dtype": "bfloat16",
        "gradient_checkpointing": checkpointing,
        "batch_size": batch_size,
        "length": length,
        "zo_batch_size": zo,
        "zo_length": length if zo else None,
        "fo_batch_size": fo,
        "fo_length": fo_length if fo else None,
        "split": ends[largest],
        "piece": ["fo", "backward", 39 if largest == "start" else -1],
        "peak_bytes": int(sum(ends[largest].values()) * (1.02 if kind == "measured" else 1)),
        "backward": ends if fo else None,
        **fields,
    }


def memory(lengths=(100, 300, 600, 1000), sizes=(1, 8, 32), kinds=("predicted", "measured")):
    """Return rows of `benchmarks.studies.memory_curves` for every figure; every other point is measured."""
    rows, both = (
        [],
        [(m, on) for m in BYTES_BEYOND_WEIGHTS for on in (False, True) if not (on and m[0] == "mezo")],
    )
    for (method, label), on in both:
        for kind in kinds:
            shared = {"kind": kind, "checkpointing": on}
            thinned = slice(None, None, 1 if kind == "predicted" else 2)
            for length in lengths[thinned]:
                rows.append(memory_row("figure4", "facebook/opt-13b", method, label, 8, length, **shared))
            for size in sizes[thinned]:
                rows.append(memory_row("figure3", "facebook/opt-13b", method, label, size, 300, **shared))
            for model in [*OPTS][thinned]:
                for size in (1, None):
                    rows.append(memory_row("fits", model, method, label, size, 400, **shared))
    for model in OPTS:
        rows.append(memory_row("table22", model, "mezo", "MeZO", 1, 400))
        for dtype in ("float32", "bfloat16"):
            rows.append(memory_row("table22", model, "adam", "Adam", 1, 400, dtype=dtype))
    return rows


def memory_validation():
    """Return rows of `studies.memory_validation`: two models per family, on a CPU and a GPU, within 1 %."""
    return [
        {
            "study": "memory-validation", "model": f"{family} {size}", "family": family, "method": "sgd",
            "label": "SGD", "gradient_checkpointing": False, "dtype": "float32", "length": length,
            "batch_size": 4, "device": device, "predicted_bytes": int(1.01 * scale * size * length),
            "measured_bytes": scale * size * length, "measured_how": "fixture",
        }
        for device, scale in (("cpu", 10**4), ("cuda", 10**7))
        for family in ("OPT", "Llama", "RoBERTa")
        for size in (2, 7)
        for length in (32, 320)
    ]  # fmt: skip


# The rows from which tests draw each figure; None if the figure shows no rows.
TWO_TASKS = partial(suite, tasks=("sst2", "rte"))
FIGURES = {
    "memory_validation": memory_validation,
    "precision": precision,
    "critical_difference": suite,
    "convergence": TWO_TASKS,
    "figure1": TWO_TASKS,
    "figure11": figure11,
    "figure2": partial(suite, models=("facebook/opt-30b",), tasks=("sst2", "rte")),
    "figure3": memory,
    "figure3_right": small_batches,
    "figure4": memory,
    "largest_model": memory,
    "k0_sweep": k0_sweep,
    "tradeoff": TWO_TASKS,
    "real": TWO_TASKS,
    "lengths": lengths,
    "sensitivity": sensitivity,
    "smoothing": None,
}
