"""Tests of the papers' suites: the runs that their settings define, their provenance, and small variants."""

import dataclasses
from functools import cache

import pytest

from benchmarks import registry, suites
from benchmarks.config import labels
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.spec import from_dict
from benchmarks.results import published
from benchmarks.suites import _tiny
from benchmarks.suites.papers._paper import OF_SUITES, SUITE, TAGS, Paper, Setting, runs

PAPERS = [name for name in registry.files("suite") if suites.paper(name) and not registry.is_tiny(name)]
# A small variant may differ in the model, the data, and sizes.
SMALL = {"model", "data", "eval_batch_size", "evaluations", "shots", *BUDGETS}
SMALL |= {"train_rows", "validation_rows", "test_rows"}
SIZES = {"zo_batch_size", "fo_batch_size"}
load = cache(suites.load)


def stated(*more, methods=("addax",), paper="Mine"):
    common = (
        Setting(SUITE, "methods", methods, "ours", "two"),
        Setting("all", "model", "nano-opt", "ours", "small"),
        Setting("all", "task", ("sst2", "rte"), "V", "seen"),
        Setting("all", "seed", (0, 1), "ours", "two"),
    )
    return Paper(paper=paper, arxiv="0", shows="Table 1", model=None, settings=(*common, *more))


def test_runs_are_the_product_of_the_grids():
    """The count by hand is 2 seeds x (2 learning rates of Adam on SST-2, 3 on RTE), and 4 zero-shot runs."""
    paper = stated(
        Setting("adam", "steps", 5, "V", "seen"),
        Setting("adam", "lr", (1e-3, 1e-2), "V", "seen"),
        Setting("adam", "lr", (1e-3, 1e-2, 1e-1), "V", "seen", {"task": ("rte",)}),
        Setting("zero-shot", "dtype", "bfloat16", "ours", "cheap"),
        methods=("zero-shot", "adam"),
    )
    found = runs(paper)
    assert len(found) == 2 * (2 + 3) + 4
    assert {(s.task, s.seed, s.settings.get("lr")) for s in found if s.method == "adam"} == {
        *(("sst2", seed, lr) for seed in (0, 1) for lr in (1e-3, 1e-2)),
        *(("rte", seed, lr) for seed in (0, 1) for lr in (1e-3, 1e-2, 1e-1)),
    }
    assert all(s.data_seed == s.seed for s in found)
    assert {s.dtype for s in found if s.method == ZERO_SHOT} == {"bfloat16"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([Setting("addax", "lr", 1.0, "sure", "mine")], "tag 'sure' is not one of V, D, R, ours"),
        (
            [Setting("addax", "lr", 1.0, "V", "a"), Setting("addax", "lr", 2.0, "V", "b")],
            "lr of addax is set twice",
        ),
        ([Setting("adax", "lr", 1.0, "V", "a")], "methods that the suite does not have: adax"),
    ],
)
def test_contradicting_and_unused_settings_are_rejected(more, message):
    with pytest.raises(ValueError, match=message):
        stated(*more)


@pytest.mark.parametrize("name", PAPERS)
def test_every_field_that_differs_from_its_default_has_a_tag_and_a_source(name):
    """Every field and setting that differs from the harness's default has a tag and a source."""
    paper = suites.paper(name)
    assert {one.field for one in paper.settings if one.methods == SUITE} == set(OF_SUITES)
    assert all(one.tag in TAGS and one.source for one in paper.settings)
    names = {one.field for one in paper.settings if one.names} | {"method", "data_seed", "lr_ratio"}
    for spec in load(name):
        plain = {"method": spec.method, "model": spec.model, "task": spec.task, "head": spec.head}
        if spec.method != ZERO_SHOT:
            plain |= {"lr": spec.settings["lr"], spec.budget[0]: spec.budget[1]}
            plain |= {k: v for k, v in spec.settings.items() if k in ("alpha", *SIZES)}
        default = from_dict(plain)
        changed = {
            f.name for f in dataclasses.fields(spec) if getattr(spec, f.name) != getattr(default, f.name)
        }
        changed |= {k for k, v in spec.settings.items() if default.settings.get(k) != v}
        assert changed - {"settings"} <= names


@pytest.mark.medium
@pytest.mark.parametrize("name", PAPERS)
def test_a_small_variant_differs_only_in_model_data_and_sizes(name):
    specs, small_specs = load(name), load(f"{name}-tiny")
    assert suites.data(f"{name}-tiny") == "builtin"
    ids = set()
    for spec in specs:
        small = _tiny.shrink(spec)
        ids.add(small.id)
        differ = {f.name for f in dataclasses.fields(spec) if getattr(spec, f.name) != getattr(small, f.name)}
        at_auto = spec.length_threshold is not None and spec.length_threshold.memory is not None
        assert differ - {"settings"} <= SMALL | ({"length_threshold"} if at_auto else set())
        settings = {k for k, v in spec.settings.items() if small.settings[k] != v}
        assert settings <= SIZES
        assert labels.label(small) == labels.label(spec)
        assert small.model in ("nano-opt", "nano-llama", "nano-roberta")
        assert small.method == ZERO_SHOT or small.budget[0] == spec.budget[0]
        assert all(spec.settings[k] >= small.settings[k] for k in SIZES & spec.settings.keys())
    assert {spec.id for spec in small_specs} == ids


def test_every_experiment_of_the_papers_has_a_suite():
    """The suites cover the experiments of three papers, and the comparisons that reviewers requested."""
    wanted = {"opt-13b", "opt-30b", "opt-66b", "llama2-70b", "roberta-large"}
    wanted |= {"mezo-opt-13b", "mezo-opt-30b", "mezo-opt-66b", "mezo-roberta", "svrg"}
    wanted |= {"figure3-right", "figure5-right", "figure11-opt-13b"}
    wanted |= {"ablations-opt-13b", "sensitivity-opt-13b", "gsm8k-llama2-7b"}
    assert wanted == set(PAPERS)


@pytest.mark.parametrize(
    ("name", "missing"), [("mezo-opt-13b", {"LP"}), ("mezo-opt-30b", set()), ("mezo-opt-66b", set())]
)
def test_a_mezo_suite_has_a_run_for_every_printed_number_but_those_of_linear_probing(name, missing):
    paper, runs = suites.paper(name), load(name)
    printed = published.load()
    printed = printed[(printed["paper"] == "MeZO") & (printed["table"] == paper.shows)]
    printed = printed[printed["model"] == paper.model]
    ours = {(spec.task, labels.label(spec)) for spec in runs}
    assert set(zip(printed["task"], printed["label"], strict=True)) - ours == {
        (task, label) for task in printed["task"] for label in missing
    }
    assert {spec.demonstrations for spec in runs if labels.label(spec) == "ICL-32"} == {32}


def test_the_roberta_suites_have_five_seeds_and_two_numbers_of_shots():
    for name in ("roberta-large", "mezo-roberta"):
        specs = load(name)
        assert {(s.shots, s.seed) for s in specs} == {
            (k, s) for k in (16, 512) for s in (13, 21, 42, 87, 100)
        }
        assert {s.task for s in specs if s.shots == 512} == {s.task for s in specs} - {"trec"}


def test_the_svrg_suite_has_both_variants_and_both_choices_of_trained_weights():
    """With eta1 in {1e-4, 1e-5} and eta2 in {1e-5, 1e-6} there are four pairs of lr and lr_ratio."""
    specs = [s for s in load("svrg") if s.method == "mezo-svrg"]
    assert {(s.settings["variant"], s.trainable) for s in specs} == {
        (variant, parameters) for variant in ("paper", "released") for parameters in ("all", "last:2")
    }
    pairs = {(s.settings["lr"], s.settings["lr_ratio"]) for s in specs}
    assert pairs == {(1e-4, 0.1), (1e-4, 0.01), (1e-5, 1.0), (1e-5, 0.1)}
    # The paper reports accuracy on CoLA, whose own metric is Matthews correlation.
    assert {(s.task, s.metric) for s in load("svrg") if s.task == "cola" or s.metric} == {
        ("cola", "accuracy")
    }
    assert {s.budget for s in load("svrg")} == {("forward_equivalents", 2 * 64 * 24_000)}


@pytest.mark.parametrize(
    "name", ["opt-13b", "opt-30b", "opt-66b", "llama2-70b", "roberta-large", "gsm8k-llama2-7b"]
)
def test_every_method_of_an_addax_suite_has_the_same_number_of_trials(name):
    counts = {}
    for spec in load(name):
        if spec.method != ZERO_SHOT:
            place = (spec.task, spec.shots, spec.seed)
            counts.setdefault(place, {}).setdefault(labels.label(spec), set()).add(spec.id)
    for methods in counts.values():
        assert len({len(trials) for trials in methods.values()}) == 1
