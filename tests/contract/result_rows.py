"""Result rows in the shape of finished runs, for tests of tables and figures; their numbers are made up."""

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
# method -> label, step count, seconds a step, peak bytes, final gain over zero-shot
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
    """One row; `settings` go into `config["set"]`."""
    known, steps, step_seconds, peak, gain = METHODS[method]
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
        "length_threshold": 40,
    } | settings
    curve = []
    for k in range(11):
        step = steps * k // 10
        score = start + gain * (1 - math.exp(-k / 3)) + (0.02 * noise.gauss(0, 1) if k else 0)
        curve.append(
            {
                "step": step,
                "train_seconds": step * step_seconds * length,
                "examples_forward": step * (2 * settings["zo_batch_size"] + settings["fo_batch_size"]),
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
            "set": settings,
        },
        "label": label or known,
        "task_title": TITLES.get(task, task),
        "metric": metric,
        "score": best["score"] - 0.01 if done else None,
        "test": {metric: best["score"] - 0.01, "loss": best["loss"], "auc": best["score"], "n": 200}
        if done
        else None,
        "validation": {metric: best["score"], "loss": best["loss"], "n": 100} if done else None,
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


def arithmetic():
    """Rows of `benchmarks.arithmetic` on two sets of weights."""
    rows = []
    for weights in ("synthetic", "smollm2-135m"):
        for dtype, unit in (("float32", 1e-7), ("bfloat16", 4e-3), ("float16", 5e-4)):
            common = {"benchmark": "arithmetic", "weights": weights, "dtype": dtype, "threads": 1}
            for arithmetic, scale in (("released", unit), ("exact", 0.0)):
                shared = common | {"measure": "drift", "arithmetic": arithmetic}
                rows += [shared | {"steps": n, "drift": scale * n**0.5} for n in (1, 10, 100, 2000)]
            lost = 1e3 * unit
            ways = [("released", None, lost), ("exact", "nearest", lost), ("exact", "stochastic", 0.0)]
            if dtype == "float32":
                ways = [("released", None, 0.0), ("exact", None, 0.0)]
            for size in (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2):
                measured = {"measure": "fraction", "size": size, "standard_error": 1e-6 / size**0.5}
                rows += [
                    common
                    | measured
                    | {"arithmetic": a, "rounding": r, "fraction": size / (size + 1e-5 * gone)}
                    for a, r, gone in ways
                ]
    return rows


def suite(models=("nano-opt",), seeds=(0,), methods=tuple(METHODS), tasks=tuple(TITLES)):
    """Every method on every task of every model."""
    return [row(m, t, model, s) for model in models for t in tasks for m in methods for s in seeds]


def k0_sweep(model="nano-opt", task="sst2", seeds=(0,), sizes=(0, 1, 2, 4, 6, 8, 12, 16)):
    """Addax at K1 = 4 with growing K0; at 0 it is IP-SGD."""
    return [
        row("addax" if size else "ip-sgd", task, model, s, zo_batch_size=size, fo_batch_size=4)
        for size in sizes
        for s in seeds
    ]


def figure11(model="nano-opt", task="squad", seeds=(0, 1, 2)):
    """Addax-WA and MeZO at 16 examples a step, Addax at K1 = 4 and SGD at 16; and others with no partner."""
    sizes = (
        ("addax", "Addax-WA", {"zo_batch_size": 12, "fo_batch_size": 4, "length_threshold": None}),
        ("addax", "Addax-WA", {"zo_batch_size": 6, "fo_batch_size": 4, "length_threshold": None}),
        ("mezo", "MeZO", {"zo_batch_size": 16}),
        ("mezo", "MeZO", {"zo_batch_size": 64}),
        ("addax", "Addax", {"zo_batch_size": 6, "fo_batch_size": 4}),
        ("sgd", "SGD", {"fo_batch_size": 16}),
        ("sgd", "SGD", {"fo_batch_size": 8}),
    )
    return [row(method, task, model, s, label=label, **own) for method, label, own in sizes for s in seeds]


def lengths(sources=(("builtin", "nano-opt"), ("folder", "smollm2-135m"))):
    """Rows of `benchmarks.lengths`: D1 is six bins of 10, 20, ... examples, D0 three of 20."""
    rows = []
    for data, tokenizer in sources:
        for i, (task, title) in enumerate(TITLES.items()):
            width, at = i + 1, 40 + 30 * i
            counts = [10 * k for k in range(1, 7)] + [20] * 3
            edges = [at + 0.5 + width * (k - 6) for k in range(10)]
            rows.append(
                {
                    "benchmark": "lengths",
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


# What each figure is drawn from in tests; None for one that is drawn from no rows.
FIGURES = {
    "arithmetic": arithmetic,
    "convergence": partial(suite, tasks=("sst2", "rte")),
    "figure1": partial(suite, tasks=("sst2", "rte")),
    "figure11": figure11,
    "k0_sweep": k0_sweep,
    "lengths": lengths,
    "smoothing": None,
}
