"""A harder task: GSM8K, answers in words, exact match of the final number; Llama-2-7B."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites import _addax, _mezo
from benchmarks.suites._paper import Paper, Stated, runs

FIRST = "ip-sgd,addax,addax-wa"
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="a harder task, as its reviewers asked",
    model=None,
    stated=(
        Stated(
            "methods", ("zero-shot", "mezo", "ip-sgd", "adam-lora", "addax", "addax-wa"), "ours", "one card",
        ),
        Stated("hardware", "one card of 40 GB", "ours", "holds the model in 16 bits, and LoRA in float32"),
        Stated("all.model", "meta-llama/Llama-2-7b-hf", "ours", "a smaller one of the paper's second family"),
        Stated("all.task", "gsm8k", "V", "the reviews: harder tasks; which one is our choice"),
        Stated("all.seed", (0, 1, 2), "ours", "three, for a spread"),
        *_mezo.ROWS,
        Stated(f"zero-shot,mezo,{FIRST},adam-lora.dtype", "bfloat16", "ours", "adapters are in float32"),
        *_mezo.MEZO,
        _addax.MEZO_TRIALS,
        Stated(f"{FIRST}.steps", 1000, "R", _addax.RECALLED),
        Stated(f"{FIRST}.evaluations", 5, "ours", "generation takes long"),
        Stated(f"{FIRST}.fo_batch_size", 4, "R", "K1 = 4 is seen in Figure 5 [V]"),
        Stated(f"{FIRST}.lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
        Stated("addax-wa.method", "addax", "V", "Algorithm 1"),
        Stated("addax,addax-wa.zo_batch_size", 6, "R", _addax.RECALLED),
        Stated("addax,addax-wa.eps", 1e-3, "R", _addax.RECALLED),
        Stated("addax,addax-wa.alpha", 1e-3, "V", "what a later code of an author has unless told otherwise"),
        Stated("addax.length_threshold", "q0.75", "ours", "a quarter of the examples is longer"),
        Stated("addax-wa.length_threshold", None, "V", "without assignment"),
        Stated("adam-lora.method", "adam", "ours", "what most would use on one card"),
        Stated("adam-lora.trainable", "lora:8", "ours", "MeZO's adapters"),
        Stated("adam-lora.steps", _mezo.epochs(1000), "V", f"{_mezo.SOURCE}: 5 epochs"),
        Stated("adam-lora.evaluations", 5, "ours", "once an epoch"),
        Stated("adam-lora.fo_batch_size", _mezo.BATCH, "V", _mezo.SOURCE),
        Stated("adam-lora.schedule", "linear", "V", _mezo.SOURCE),
        Stated("adam-lora.lr", (5e-5, 1e-4, 2e-4, 5e-4), "ours", _addax.EQUAL),
    ),
)  # fmt: skip


def specs() -> list[RunSpec]:
    """Zero-shot, and four trials of five methods, with three seeds."""
    return runs(PAPER)
