"""Tests of the planner: its choice is predicted to fit, and the next larger choice is not."""

import json
from random import Random

import pytest

from addax import units
from addax.assignment import assign, choose_length_threshold
from addax.memory import KINDS
from benchmarks import models
from benchmarks.__main__ import main
from benchmarks.config import labels
from benchmarks.config import methods as settings
from benchmarks.config.spec import from_dict
from benchmarks.memory import estimator as memory_model
from benchmarks.memory import example_lengths, planner, search
from benchmarks.training import run as train

NANO = {"model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 2}
LENGTHS = [20, 40, 60, 80, 100] * 4


def predicted(one, device="cuda", **lengths):
    """Return the peak of a step on batches of these lengths."""
    batches = {part: memory_model.synthetic(found) for part, found in lengths.items()}
    return memory_model.predict(one, batches, device).peak_bytes


def longest(lengths, size):
    """Return the `size` longest lengths; if all are equal, one is replaced so that the batch needs a mask."""
    found = sorted(lengths)[-size:]
    shorter = [n for n in lengths if n < found[-1]]
    return [max(shorter), *found[1:]] if size > 1 and shorter and found[0] == found[-1] else found


def test_the_threshold_is_the_largest_that_fits():
    """The result equals that of an exhaustive search, with a logarithmic number of predictions."""
    random = Random(0)
    for _ in range(300):
        lengths = [random.randrange(1, 500) for _ in range(random.randrange(1, 200))]
        limit = random.randrange(0, 520)
        tried = []

        def fits(length, limit=limit, tried=tried):
            tried.append(length)
            return length <= limit

        good = [n for n in lengths if n <= limit]
        if not good:
            with pytest.raises(ValueError, match=f"shortest length, {min(lengths)} tokens"):
                choose_length_threshold(lengths, fits)
        else:
            found = choose_length_threshold(lengths, fits)
            assert found == (None if len(good) == len(lengths) else max(good))
        assert set(tried) <= set(lengths)
        assert len(tried) <= 2 + len(set(lengths)).bit_length()


@pytest.mark.parametrize(
    ("peak", "most_calls"),
    [
        (lambda n: 100 + 7 * n, 5),
        (lambda n: max(900, 40 * n), 16),
        (lambda n: max(300 + n, 100 + 9 * n), 16),
        (lambda n: n * n, 16),
        (lambda n: 512 * -(-n // 3), 16),
    ],
)
def test_the_largest_size_is_found_in_few_predictions(peak, most_calls):
    for usable in [*range(0, 2000, 37), 10**6]:
        tried = []

        def recorded(n, tried=tried):
            tried.append(n)
            return peak(n)

        found = search.largest(recorded, usable, 128)
        assert found == max((n for n in range(1, 129) if peak(n) <= usable), default=0)
        assert len(tried) == len(set(tried)) <= most_calls
        assert {*tried} >= {n for n in (found, found + 1) if 1 <= n <= 128}


@pytest.mark.slow
def test_the_largest_batch_fits_and_one_more_does_not():
    one = from_dict(NANO | {"method": "ip-sgd", "dtype": "bfloat16", "gradient_checkpointing": False})
    usable = predicted(one, fo=longest(LENGTHS, 3)) + 1000
    given = {**NANO, "dtype": "bfloat16"}
    plain, again = planner.plans(["ip-sgd"], given, memory_model.synthetic(LENGTHS), usable, print)
    size = plain.sizes["fo_batch_size"]
    assert predicted(one, fo=longest(LENGTHS, size)) == plain.peak.peak_bytes <= usable
    assert predicted(one, fo=longest(LENGTHS, size + 1)) > usable
    assert plain.headroom == usable - plain.peak.peak_bytes
    # Checkpointing costs one more forward and leaves room for more examples.
    assert (plain.gradient_checkpointing, plain.passes, again.gradient_checkpointing, again.passes) == (
        False, 3, True, 4,
    )  # fmt: skip
    assert again.sizes["fo_batch_size"] > size == 3


@pytest.fixture
def one_layer(monkeypatch):
    """Reduce nano-opt from three layers to one, because the test traces many steps."""
    config = models.load_config("nano-opt")
    config.num_hidden_layers = 1
    monkeypatch.setattr(models, "shape_of", lambda *_: config)


@pytest.mark.slow
@pytest.mark.usefixtures("one_layer")
def test_addax_gets_the_most_examples_into_d1():
    one = from_dict(NANO | {"method": "addax", "zo_batch_size": 2})
    # The budget is between the peaks with first-order batches of 60 and of 80 tokens.
    shorter, longer = (longest([n for n in LENGTHS if n <= limit], 4) for limit in (60, 80))
    usable = (predicted(one, zo=[100, 80], fo=shorter) + predicted(one, zo=[100, 80], fo=longer)) // 2
    rows = memory_model.synthetic(LENGTHS)
    plan = planner._Search(one, rows, usable).at_own_sizes()
    assert (plan.length_threshold, plan.fits, plan.label) == (60, True, "Addax")
    part = assign(LENGTHS, 60)
    assert (plan.d0, plan.d1) == (len(part.zo), len(part.fo)) == (8, 12)
    # With batches of one example, every length fits.
    best = planner._Search(one, rows, usable).best_assignment()
    assert (best.length_threshold, best.d0, best.d1, best.label) == (None, 20, 20, "Addax-WA")
    k1 = best.sizes["fo_batch_size"]
    assert best.fits
    assert 1 <= k1 < 4
    assert predicted(one, zo=[100], fo=longest(LENGTHS, k1 + 1)) > usable


@pytest.mark.parametrize(
    ("method", "cost"),
    [("mezo", 2), ("ip-sgd", 3), ("adam", 3), ("addax", 5), ("mezo-svrg", (2 * 32 + 4) / 2)],
)
def test_the_cost_of_a_step_is_counted_in_forward_passes(method, cost):
    one = from_dict(NANO | {"method": method})
    assert planner.passes(one, 1000) == cost
    if "fo_loss" in settings.method_class(method).closures:
        again = from_dict(NANO | {"method": method, "gradient_checkpointing": True})
        assert planner.passes(again, 1000) == cost + 1


KEYS = {
    "method": str, "label": str, "gradient_checkpointing": bool, "chosen": str, "fits": bool, "sizes": dict,
    "at_limit": list, "length_threshold": (int, type(None)), "d0": (int, type(None)), "d1": (int, type(None)),
    "passes": (int, float), "peak_bytes": int, "split": dict, "phase": list, "headroom": int,
}  # fmt: skip


def test_json_output_has_the_documented_keys(tmp_path, capsys):
    file = tmp_path / "lengths.txt"
    file.write_text("30\n50\n2000\n")
    words = ["plan", "--model", "nano-opt", "--task", "sst2", "--method", "mezo", "--length-file", str(file)]
    assert main([*words, "--gpu-memory", "8GB", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (plan,) = found["plans"]
    assert {key: type(value) for key, value in plan.items() if not isinstance(value, KEYS[key])} == {}
    assert plan.keys() == KEYS.keys()
    assert set(plan["split"]) == set(KINDS)
    assert sum(plan["split"].values()) == plan["peak_bytes"] == found["usable_bytes"] - plan["headroom"]
    assert (found["gpu_memory_bytes"], found["usable_bytes"]) == (8 * 10**9, 8 * 10**9 - units.RESERVE)
    # There are only three examples, and the longest is cut to the model's maximum.
    assert (plan["sizes"], plan["at_limit"]) == ({"zo_batch_size": 3}, ["zo_batch_size"])
    assert found["lengths"] == {
        "source": "file", "tokenizer": None, "fallback_tokenizer": False, "cut": 1,
        "n": 3, "minimum": 30, "maximum": 160,
    }  # fmt: skip
    # This budget holds the parameters and nothing else.
    tight = f"{(units.RESERVE + plan['split']['parameters']) / 1e6:.6f}MB"
    assert main([*words, "--gpu-memory", tight]) == 1
    out = capsys.readouterr().out
    assert "(1,500.00 MB is reserved for the CUDA context and fragmentation" in out
    assert "note: lengths reduced to the model's maximum of 160 tokens: 1" in out
    (line,) = [line for line in out.splitlines() if line.startswith("MeZO")]
    assert line.split()[:4] == ["MeZO", "2", "NO", "1"]


def test_a_plan_for_training_on_short_examples_is_that_of_the_short_examples(tmp_path, capsys):
    def plan(lengths, *more):
        file = tmp_path / "lengths.txt"
        file.write_text("".join(f"{n}\n" for n in lengths))
        words = ["plan", "--model", "nano-opt", "--task", "sst2", "--method", "mezo", "--gpu-memory", "8GB"]
        assert main([*words, "--length-file", str(file), "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    short = plan([30, 50, 120, 60], "--train-on", "short", "--long-above", "q0.75")
    assert short == plan([30, 50, 60])
    assert short["plans"] != plan([30, 50, 120, 60])["plans"]


def test_a_plan_for_training_on_short_examples_has_the_rows_of_the_run_and_no_threshold():
    given = NANO | {"method": "addax", "train_rows": 40, "train_on": "short", "long_above": "q0.5"}
    one = from_dict(given | {"validation_rows": 4, "test_rows": 4, "evaluations": 1})
    rows = example_lengths.of_task(one, "builtin", None).rows
    row = train.run(one, train.load(one, None), suite="s")
    assert (row["train_rows"], row["long_above_tokens"]) == (len(rows), max(r.length for r in rows))
    # No prediction is needed to know that such a run has no L_T.
    assert planner._Search(one, rows, 0).threshold({}) is None


@pytest.mark.medium
def test_a_fallback_tokenizer_counts_tokens_in_the_models_form(monkeypatch):
    """For RoBERTa, a prompt ends in the mask, a candidate is one token, and long prompts are truncated."""
    one = from_dict(NANO | {"method": "mezo", "model": "FacebookAI/roberta-base", "task": "boolq"})
    found = example_lengths.of_task(one, "builtin", "nano-llama")
    assert (found.tokenizer, found.is_fallback, found.source) == ("nano-llama", True, "builtin")
    assert all(row.one_token and not row.answer and len(row.prompt) == row.length for row in found.rows)
    available = example_lengths.of_task(
        from_dict(NANO | {"method": "mezo", "task": "boolq"}), "builtin", None
    )
    assert (available.tokenizer, available.is_fallback) == ("nano-opt", False)
    monkeypatch.setattr(example_lengths, "_max_length", lambda spec: 50)
    cut = example_lengths.of_task(one, "builtin", "nano-llama")
    assert max(len(row.prompt) for row in cut.rows) == max(row.length for row in cut.rows) == 50
    # The fallback is used for a model whose tokenizer is not available.
    monkeypatch.setattr(example_lengths, "FALLBACK_TOKENIZER", "nano-roberta")
    assert example_lengths.of_task(one, "builtin", None).tokenizer == "nano-roberta"


def test_a_run_chooses_its_threshold_for_a_budget():
    """L_T depends on the run's device and batch sizes; if every example fits, the run is Addax-WA."""
    tiny = NANO | {
        "method": "addax",
        "evaluations": 1,
        "train_rows": 40,
        "validation_rows": 4,
        "test_rows": 4,
    }
    tiny |= {"task": "boolq", "zo_batch_size": 2, "fo_batch_size": 2}
    one = from_dict(tiny | {"length_threshold": "auto:2.3MB"})
    assert labels.label(one) == "Addax"
    row = train.run(one, train.load(one, None), suite="s", choose_length_threshold=search.automatic_threshold)
    assert (row["status"], row["label"]) == ("done", "Addax")
    chosen = row["length_threshold_tokens"]
    assert row["long_above_tokens"] == chosen
    assert row["test_short"]["n"] + (row["test_long"] or {"n": 0})["n"] == row["test"]["n"]
    rows = example_lengths.of_task(one, "builtin", None).rows
    lengths = sorted({e.length for e in rows})
    above = lengths[lengths.index(chosen) + 1]
    sizes = {**one.settings, "eval_batch_size": 32}
    assert search.peak_of(one, rows, sizes, chosen, "cpu").peak_bytes <= 2_300_000
    assert search.peak_of(one, rows, sizes, above, "cpu").peak_bytes > 2_300_000
    part = assign([e.length for e in rows], chosen)
    assert (row["d0_rows"], row["d1_rows"]) == (len(part.zo), len(part.fo))
    wide = from_dict(tiny | {"length_threshold": "auto:40GB"})
    row = train.run(
        wide, train.load(wide, None), suite="s", choose_length_threshold=search.automatic_threshold
    )
    assert (row["status"], row["label"], row["length_threshold_tokens"]) == ("done", "Addax-WA", None)
    assert [row[name] for name in ("long_above_tokens", "test_long", "test_short")] == [None] * 3


def test_the_heaviest_batch_is_padded_and_has_the_longest_answer():
    rows = memory_model.synthetic([50, 50, 50, 40], answer=5)
    assert [row.length for row in search.worst_case_batch(rows, 1)] == [50]
    assert [row.length for row in search.worst_case_batch(rows, 2)] == [50, 40]
    assert [row.length for row in search.worst_case_batch(rows[:3], 2)] == [50, 50]
    (long,) = memory_model.synthetic([30], answer=20)
    found = search.worst_case_batch([*rows, long], 2)
    assert [(row.length, len(row.answer)) for row in found] == [(50, 5), (30, 20)]
