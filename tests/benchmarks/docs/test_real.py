"""Tests of the tables of suite `real`: scores, comparisons, rates at an edge, memory, and time."""

from statistics import mean, stdev

import pytest

from benchmarks.docs import real
from benchmarks.docs.values import lines
from benchmarks.results import fixed
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made

METHODS = {"addax": "Addax", "mezo": "MeZO", "ip-sgd": "IP-SGD", "adam": "Adam"}
TASKS = ("sst2", "rte", "squad")


@pytest.fixture(scope="module")
def suites():
    """Return the rows of each suite: four methods on three tasks, two seeds of MeZO missing."""
    runs = [
        made.row(method, task, seed=seed)
        for method in (*METHODS, "zero-shot")
        for task in TASKS
        for seed in range(3)
    ]
    costs = [
        made.row(m, label=label) | {"peak_bytes": 2e9, "step_seconds": 0.5} for m, label in METHODS.items()
    ]
    costs.append(
        made.row("ip-sgd", label="IP-SGD (checkpointing)") | {"peak_bytes": 1e9, "step_seconds": 0.6}
    )
    costs.append(made.row("adam", "squad", label="Adam") | {"peak_bytes": 3e9, "step_seconds": 0.8})
    trials = []
    for method, scores in (("addax", (0.5, 0.7, 0.6, 0.2)), ("adam", (0.4, 0.5, 0.6, 0.8))):
        for rate, score in zip((1e-4, 3e-4, 1e-3, 3e-3), scores, strict=True):
            trials.append(made.row(method, lr=rate) | {"validation": {"score": score, "loss": 1.0, "n": 9}})
    return {"real": runs, "real-costs": costs, "real-grid": trials}


def table(suites, name="real:overview"):
    text = real.tables()[name](lambda suite: suites.get(suite, []))
    return {cells[0]: dict(zip(header, cells, strict=True)) for header, cells in lines(text)}


def test_scores_are_means_and_deviations_over_seeds(suites):
    scores = [r["score"] for r in suites["real"] if (r["label"], r["config"]["task"]) == ("Adam", "rte")]
    assert table(suites)["Adam"]["RTE"] == f"{100 * mean(scores):.1f} ± {100 * stdev(scores):.1f}"


def test_only_the_fixed_comparisons_are_tested(suites):
    found = table(suites)
    expected = fixed.against(
        Results.of(suites["real"]).selected,
        "Addax",
        ("Addax (D1 only)", "MeZO", "IP-SGD", "Adam", "Adam (LoRA)"),
    ).set_index("label")
    for label in ("MeZO", "IP-SGD", "Adam"):
        assert found[label]["minus Addax (points)"] == f"{100 * expected.loc[label, 'difference']:+.1f}"
        assert found[label]["p, Holm"] == f"{expected.loc[label, 'p_holm']:.4f}"
    assert found["Addax"]["p, Holm"] == found["zero-shot"]["p, Holm"] == "–"


def test_a_rate_at_the_edge_of_its_trials_is_marked(suites):
    assert table(suites)["Adam"]["learning rate"] == "0.001 (edge)"
    assert table(suites)["Addax"]["learning rate"] == "0.001"
    trials = table(suites, "real:trials")
    assert (trials["Adam"]["chosen"], trials["Addax"]["chosen"]) == ("0.003 (edge)", "0.0003")


def test_a_trial_that_diverged_is_shown_and_never_chosen(suites):
    failed = made.row("addax", lr=1e-5, status="failed")
    found = table({**suites, "real-grid": [failed, *suites["real-grid"]]}, "real:trials")["Addax"]
    assert found["chosen"] == "0.0003"
    assert found["rate: validation score"].startswith("1e-05: failed; 0.0001: 50.0")


def test_a_method_without_a_finished_trial_has_no_rate(suites):
    failed = [made.row("mezo", lr=rate, status="OOM") for rate in (1e-4, 3e-4)]
    found = table({**suites, "real-grid": [*failed, *suites["real-grid"]]}, "real:trials")["MeZO"]
    assert (found["chosen"], found["rate: validation score"]) == ("–", "0.0001: OOM; 0.0003: OOM")


def test_entries_of_fewer_seeds_say_so(suites):
    fewer = [r for r in suites["real"] if (r["label"], r["config"]["seed"]) != ("MeZO", 2)]
    found = table({**suites, "real": fewer})
    assert found["MeZO"]["SST-2"].endswith("(n=2)")
    assert "n=" not in found["Adam"]["SST-2"] + found["zero-shot"]["SST-2"]


def test_the_long_run_of_mezo_is_shown_even_if_it_failed(suites):
    long = made.row("mezo", status="failed") | {"steps": None, "forward_equivalents": None}
    text = real.long_run(lambda suite: {"real": [], "real-mezo": [long]}[suite])
    assert [cells[-1] for _, cells in lines(text)][-1] == "failed"


def test_the_summary_has_no_learning_rates_and_no_provenance(suites):
    full, short = table(suites), table(suites, "real:summary")
    assert short == {
        label: {k: v for k, v in line.items() if k != "learning rate"} for label, line in full.items()
    }
    assert "hardware" not in real.summary(lambda suite: suites[suite])
    assert "hardware" in real.overview(lambda suite: suites[suite])


def test_memory_and_time_come_from_the_measured_steps(suites):
    found = table(suites)
    assert found["Adam"]["memory on SST-2 (GB)"] == "2.00"
    assert found["Adam"]["memory on SQuAD (GB)"] == "3.00"
    assert found["Adam"]["time on SST-2 (min)"] == f"{0.5 * made.METHODS['adam'][1] / 60:.1f}"
    assert found["zero-shot"]["memory on SST-2 (GB)"] == found["MeZO"]["memory on SQuAD (GB)"] == "–"
    checkpointed, plain = found["IP-SGD (checkpointing)"], found["IP-SGD"]
    assert (checkpointed["SST-2"], checkpointed["p, Holm"]) == (plain["SST-2"], plain["p, Holm"])
    assert checkpointed["memory on SST-2 (GB)"] == "1.00"


def test_memory_is_shown_on_a_task_without_scores(suites):
    runs = [row for row in suites["real"] if row["config"]["task"] == "sst2"]
    found = table({**suites, "real": runs})["Adam"]
    assert "SQuAD" not in found
    assert found["memory on SQuAD (GB)"] == "3.00"


def test_costs_of_another_model_are_not_shown(suites):
    other = made.row("adam", model="nano-llama", label="Adam") | {"peak_bytes": 9e9, "step_seconds": 9.0}
    assert table({**suites, "real-costs": [*suites["real-costs"], other]}) == table(suites)


def test_the_costs_of_a_step_are_shown_for_every_task_that_was_measured(suites):
    found = table(suites, "real:costs")
    assert list(found) == ["Addax", "MeZO", "IP-SGD", "IP-SGD (checkpointing)", "Adam"]
    assert found["Adam"] == {
        "method": "Adam",
        "SST-2 (GB)": "2.00",
        "SQuAD (GB)": "3.00",
        "SST-2 (s)": "0.50",
        "SQuAD (s)": "0.80",
    }
    assert found["IP-SGD (checkpointing)"]["SQuAD (s)"] == "–"


def test_a_run_out_of_memory_leaves_the_costs_of_others(suites):
    failed = made.row("addax", "rte", status="OOM")
    found = table({**suites, "real-costs": [*suites["real-costs"], failed]}, "real:costs")
    assert found["Adam"]["SST-2 (GB)"] == "2.00"


def test_missing_rows_say_how_to_measure_them():
    for name in ("real:overview", "real:summary", "real:costs", "real:trials", "real:long"):
        text = real.tables()[name](lambda suite: [])
        assert "No rows yet" in text
        assert f"sweep {real.owners(name)[-1 if name == 'real:long' else 0]}`" in text


def test_a_note_says_how_many_pairs_a_significant_difference_takes(suites):
    def text(runs):
        return real.overview(lambda suite: runs if suite == "real" else suites[suite])

    few = [row for row in suites["real"] if row["config"]["task"] == "sst2"]
    assert "No comparison can be significant yet: that takes 8 pairs." in text(few)
    assert "(0 to 3)" in text(few)
    assert "8 pairs" not in text(suites["real"])
