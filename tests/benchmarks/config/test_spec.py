"""Tests of RunSpec: strict parsing, ids, and one-line errors for invalid input."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from benchmarks import models, registry, tasks
from benchmarks.config import methods as settings
from benchmarks.config.identity import DEFAULTS_OMITTED_FROM_ID
from benchmarks.config.labels import label, method_label
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.errors import UserError
from benchmarks.suites._defaults import with_defaults

METHODS = tuple(registry.files("method"))
ADDAX = {"method": "addax", "model": "nano-opt", "task": "sst2", "lr": 0.1, "steps": 10}
MEZO = ADDAX | {"method": "mezo"}
SVRG = ADDAX | {"method": "mezo-svrg"}
SGD = ADDAX | {"method": "sgd"}
ADAM = ADDAX | {"method": "adam"}
MASKED = ADDAX | {"model": "nano-roberta"}
ZERO = {"method": ZERO_SHOT, "model": "nano-opt", "task": "sst2"}

# (input, expected part of the error message)
INVALID = [
    # Names.
    (ADDAX | {"method": "adax"}, "unknown method 'adax': did you mean 'addax'?"),
    (ADDAX | {"method": "zeroshot"}, "unknown method 'zeroshot'"),
    (ADDAX | {"task": "sst-2"}, "unknown task 'sst-2': did you mean 'sst2'?"),
    (ADDAX | {"task": "multi_rc"}, "did you mean 'multirc'?"),
    (ADDAX | {"model": "nano-opd"}, "unknown model 'nano-opd': did you mean 'nano-opt'?"),
    (ADDAX | {"model": "/no/such/folder"}, "model folder /no/such/folder: no such folder"),
    (ADDAX | {"alhpa": 0.1}, "unknown setting 'alhpa': did you mean 'alpha'?"),
    (ADDAX | {"step": 5}, "unknown setting 'step': did you mean 'steps'?"),
    (ADDAX | {"settings": {"zo_batchsize": 2}}, "did you mean 'zo_batch_size'?"),
    (ADDAX | {"dtype": "float23"}, "unknown dtype 'float23': did you mean 'float32'?"),
    (ADDAX | {"head": "lmm"}, "unknown head 'lmm': did you mean 'lm'?"),
    (ADDAX | {"scoring": "per-candidate"}, "did you mean 'per_candidate'?"),
    (ADDAX | {"schedule": "linaer"}, "did you mean 'linear'?"),
    (ADDAX | {"metric": "acuracy"}, "unknown metric of task sst2 'acuracy': did you mean 'accuracy'?"),
    (ADDAX | {"metric": "f1"}, "unknown metric of task sst2 'f1'"),
    (
        ADDAX | {"metric": "matthews", "task": "squad"},
        "task squad cannot be scored with matthews, only with f1",
    ),
    (ADDAX | {"metric": "class_f1", "task": "record"}, "task record cannot be scored with class_f1"),
    (ADDAX | {"data": "bulitin"}, "unknown data source 'bulitin': did you mean 'builtin'?"),
    ({"model": "nano-opt", "task": "sst2"}, "--method"),
    ({"method": "addax", "task": "sst2"}, "--model"),
    ({"method": "addax", "model": "nano-opt"}, "--task"),
    # Settings of another method.
    (MEZO | {"alpha": 0.1}, "mezo does not take alpha: it is a setting of addax"),
    (MEZO | {"fo_batch_size": 4}, "mezo does not take fo_batch_size"),
    (MEZO | {"length_threshold": 50}, "mezo does not take length_threshold"),
    (SGD | {"eps": 1e-3}, "sgd does not take eps"),
    (ADAM | {"zo_batch_size": 4}, "adam does not take zo_batch_size"),
    (ADDAX | {"lr_ratio": 0.5}, "addax does not take lr_ratio: it is a setting of mezo-svrg"),
    (ZERO | {"lr": 0.1}, "zero-shot does not take lr"),
    # Values.
    ({k: v for k, v in ADDAX.items() if k != "lr"}, "learning rate"),
    (ADDAX | {"lr": -0.1}, "lr must be in [0, inf), not -0.1"),
    (ADDAX | {"lr": float("nan")}, "lr must be"),
    (ADDAX | {"lr": "fast"}, "lr must be a number, not 'fast'"),
    (ADDAX | {"lr": None}, "lr must be a number"),
    (ADDAX | {"lr": True}, "lr must be a number"),
    (ADDAX | {"eps": -1e-3}, "eps must be in (0, inf), not -0.001"),
    (ADDAX | {"eps": 0}, "eps"),
    (ADDAX | {"alpha": -0.1}, "alpha must be in [0, 1], not -0.1"),
    (ADDAX | {"alpha": 1.5}, "alpha must be in [0, 1], not 1.5"),
    (ADDAX | {"rounding": "up"}, "rounding must be one of"),
    (ADDAX | {"arithmetic": "relased"}, "arithmetic must be one of"),
    (ADDAX | {"direction": "rademacer"}, "direction must be one of normal, rademacher, not 'rademacer'"),
    (MEZO | {"direction": "signs"}, "mezo: direction must be one of normal, rademacher, not 'signs'"),
    (SGD | {"direction": "rademacher"}, "sgd does not take direction: it is a setting of addax, mezo"),
    (SVRG | {"variant": "papers"}, "variant must be one of"),
    (SVRG | {"lr_ratio": -1.0}, "lr_ratio"),
    (SVRG | {"anchor_every": 0}, "anchor_every"),
    (SVRG | {"anchor_every": 1.5}, "anchor_every must be a whole number"),
    (ADAM | {"betas": 0.9}, "adam"),
    (ADAM | {"betas": [0.9, 1.1]}, "adam"),
    (ADDAX | {"zo_batch_size": -1}, "zo_batch_size must not be negative: -1"),
    (ADDAX | {"zo_batch_size": 2.5}, "zo_batch_size must be a whole number, not 2.5"),
    (MEZO | {"zo_batch_size": 0}, "zo_batch_size must be at least 1 for mezo"),
    (SGD | {"fo_batch_size": 0}, "fo_batch_size must be at least 1 for sgd"),
    (ADDAX | {"seed": 1.5}, "seed must be int, not 1.5"),
    (ADDAX | {"seed": True}, "seed must be int, not True"),
    (ADDAX | {"dropout": 0}, "dropout must be bool, not 0"),
    (ADDAX | {"evaluations": 0}, "evaluations must be at least 1, not 0"),
    (ADDAX | {"eval_batch_size": 0}, "eval_batch_size"),
    (ADDAX | {"train_rows": 0}, "train_rows"),
    (ADDAX | {"validation_rows": -5}, "validation_rows"),
    (ADDAX | {"test_rows": 0}, "test_rows"),
    # Budgets.
    (ADDAX | {"seconds": 5.0}, "exactly one budget: pass one of steps, seconds, examples"),
    (ADDAX | {"steps": None}, "exactly one budget"),
    (ADDAX | {"steps": 0}, "budget must be positive and finite, not steps=0"),
    (ADDAX | {"steps": -3}, "steps=-3"),
    (ADDAX | {"steps": 2.5}, "steps must be int or none, not 2.5"),
    (ADDAX | {"steps": None, "seconds": 0}, "seconds=0"),
    (ADDAX | {"steps": None, "seconds": float("nan")}, "seconds=nan"),
    # Combinations.
    (ADDAX | {"length_threshold": "q0"}, "length_threshold"),
    (ADDAX | {"length_threshold": "q1.5"}, "'q1.5'"),
    (ADDAX | {"length_threshold": "q"}, "'q'"),
    (ADDAX | {"length_threshold": "0.7"}, "'0.7'"),
    (ADDAX | {"length_threshold": "auto:40"}, "length_threshold=auto:40: use a number and one of"),
    (ADDAX | {"length_threshold": 0.7}, "length_threshold"),
    (ADDAX | {"length_threshold": 0}, "length_threshold must be a positive number"),
    (ADDAX | {"length_threshold": True}, "length_threshold"),
    (ADDAX | {"alpha": 0.0}, "alpha=0 requires zo_batch_size=0, not 6"),
    (ADDAX | {"alpha": 1.0}, "alpha=1 requires fo_batch_size=0, not 4"),
    (ADDAX | {"zo_batch_size": 0}, "zo_batch_size=0 requires alpha=0"),
    (ADDAX | {"fo_batch_size": 0}, "fo_batch_size=0 requires alpha=1"),
    (MASKED | {"task": "squad"}, "task squad needs a causal model: nano-roberta is a masked LM"),
    (MASKED | {"task": "record"}, "task record needs a causal model"),
    (ADDAX | {"task": "squad", "head": "classification"}, "squad"),
    (ADDAX | {"task": "record", "head": "classification"}, "record"),
    (ZERO | {"head": "classification"}, "zero-shot with head=classification needs a trained head"),
    (ADAM | {"long_above": "0.7"}, "long_above must be in tokens (170), a quantile (q0.75), or none"),
    (ADAM | {"long_above": 0}, "long_above must be in tokens (170), a quantile (q0.75), or none, not 0"),
    (ADAM | {"long_above": "auto:40GB"}, "long_above=auto:40GB: an amount of memory only determines"),
    (ADAM | {"train_on": "shrt", "long_above": 9}, "unknown train_on 'shrt': did you mean 'short'?"),
    (ADAM | {"train_on": "short"}, "train_on=short needs long_above, in tokens (170) or as a quantile"),
    (ADDAX | {"train_on": "short", "long_above": 9, "length_threshold": 9}, "cannot be combined with length"),
    (ADDAX | {"train_on": "short", "long_above": 8, "length_threshold": 9}, "zo_batch_size=0 and alpha=0"),
    (ADDAX | {"data_revision": "v1"}, "data_revision=v1 needs data=hub"),
    (ADDAX | {"data": "hub", "data_revision": " "}, "needs data=hub and the name of a branch, a tag"),
    (ADDAX | {"model": "facebook/opt-125m@"}, "write a hub model as owner/name or owner/name@REVISION"),
    # Values without effect.
    (ZERO | {"train_on": "short", "long_above": 9}, "train_on=short has no effect: zero-shot takes no steps"),
    (ZERO | {"steps": 100}, "zero-shot does not take steps: it takes no steps, so it has no budget"),
    (ZERO | {"seconds": 1}, "zero-shot does not take seconds"),
    (ZERO | {"schedule": "linear"}, "schedule=linear has no effect: zero-shot takes no steps"),
    (ZERO | {"evaluations": 4}, "evaluations=4 has no effect: zero-shot takes no steps"),
    (ZERO | {"trainable": "lora:8"}, "trainable=lora:8 has no effect: zero-shot takes no steps"),
    (MEZO | {"gradient_checkpointing": True}, "no effect: mezo has no backward pass"),
    (
        ADDAX | {"alpha": 1.0, "fo_batch_size": 0, "gradient_checkpointing": True},
        "no effect: addax with fo_batch_size=0 has no backward pass",
    ),
    (
        ADDAX | {"alpha": 0.0, "zo_batch_size": 0, "eps": 1e-2},
        "eps=0.01 has no effect: addax with zo_batch_size=0 perturbs nothing",
    ),
    (
        ADDAX | {"dtype": "bfloat16", "rounding": "nearest", "arithmetic": "released"},
        "rounding=nearest has no effect: arithmetic=released rounds as the published code does",
    ),
    (
        MEZO | {"rounding": "stochastic", "arithmetic": "released"},
        "rounding=stochastic has no effect: arithmetic=released",
    ),
    (ADDAX | {"rounding": "nearest"}, "rounding=nearest has no effect: dtype=float32 is written without"),
    (ADDAX | {"shots": 4, "train_rows": 8}, "train_rows=8 has no effect: shots=4 sets the numbers"),
    (ADDAX | {"shots": 4, "validation_rows": 500}, "validation_rows=500 has no effect: shots=4"),
    (
        ADDAX | {"head": "classification", "scoring": "per_candidate"},
        "scoring=per_candidate has no effect: head=classification scores no candidates",
    ),
    (
        MASKED | {"scoring": "per_candidate"},
        "scoring=per_candidate has no effect: nano-roberta is a masked LM",
    ),
]


@pytest.mark.parametrize(("given", "named"), INVALID, ids=[named for _, named in INVALID])
def test_invalid_input_gives_a_one_line_error_that_names_it(given, named):
    with pytest.raises(UserError) as error:
        from_dict(given)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_needs_only_a_learning_rate(method):
    spec = from_dict(ADDAX | {"method": method})
    assert spec.settings["lr"] == 0.1
    assert label(spec)
    cls = settings.method_class(method)
    assert ("zo_batch_size" in spec.settings) == ("zo_loss" in cls.closures)
    assert ("fo_batch_size" in spec.settings) == ("fo_loss" in cls.closures)
    assert json.loads(json.dumps(spec.config()))["settings"] == spec.settings


@pytest.mark.parametrize("method", [*METHODS, ZERO_SHOT])
def test_a_spec_can_be_rebuilt_from_its_row(method):
    spec = from_dict(ZERO if method == ZERO_SHOT else ADDAX | {"method": method})
    again = from_dict(json.loads(json.dumps(spec.config())))
    assert again == spec
    assert again.id == spec.id
    assert spec.replace(device="cuda").settings == spec.settings


def test_labels_state_the_method_and_its_variant():
    assert label(from_dict(ADDAX | {"length_threshold": "q0.7"})) == "Addax"
    assert label(from_dict(ADDAX | {"length_threshold": None})) == "Addax-WA"
    assert label(from_dict(MEZO | {"arithmetic": "released"})) == "MeZO (released)"
    assert label(from_dict(SVRG | {"variant": "released"})) == "MeZO-SVRG (released)"
    assert label(from_dict(MEZO | {"rounding": "nearest", "dtype": "bfloat16"})) == "MeZO (nearest)"
    assert label(from_dict(ZERO)) == ZERO_SHOT
    d1 = {"alpha": 0.0, "zo_batch_size": 0}
    assert label(from_dict(ADDAX | d1 | {"length_threshold": 30})) == "Addax (D1 only)"
    assert label(from_dict(ADDAX | d1)) == "Addax-WA"
    assert label(from_dict(SGD | {"gradient_checkpointing": True})) == "SGD (checkpointing)"
    assert label(from_dict(ADAM | {"trainable": "lora:8"})) == "Adam (LoRA)"
    assert label(from_dict(ADAM | {"trainable": "lora:4"})) == "Adam (LoRA 4)"
    assert label(from_dict(MEZO | {"trainable": "last:2"})) == "MeZO (last 2)"
    both = {"dtype": "float16", "rounding": "nearest", "trainable": "lora:8", "gradient_checkpointing": True}
    assert label(from_dict(ADDAX | both)) == "Addax-WA (nearest, LoRA, checkpointing)"
    assert method_label(from_dict(ADDAX | both), None) == "Addax-WA"


def test_equal_runs_have_equal_ids_however_they_are_written():
    spec = from_dict(ADDAX)
    assert from_dict(dict(reversed(ADDAX.items()))).id == spec.id
    assert from_dict(ADDAX | {"alpha": 0.001, "eps": 0.001, "zo_batch_size": 6}).id == spec.id
    assert from_dict(ADDAX | {"lr": 1}).id == from_dict(ADDAX | {"lr": 1.0}).id
    assert len(spec.id) == 16
    assert int(spec.id, 16) >= 0


CHANGED = {
    "method": "mezo", "model": "nano-llama", "task": "rte", "data": "hub", "seed": 1, "data_seed": 1,
    "dtype": "bfloat16", "device": "cuda", "head": "classification", "scoring": "per_candidate",
    "gradient_checkpointing": True, "dropout": False, "steps": 11, "schedule": "linear", "evaluations": 4,
    "eval_batch_size": 16, "train_rows": 99, "validation_rows": 99, "test_rows": 99,
    "shots": 16, "trainable": "lora:8", "length_threshold": 30,
    "long_above": 20, "metric": "matthews",
}  # fmt: skip
SETTINGS = {
    "lr": 0.2, "alpha": 0.5, "eps": 0.01, "rounding": "nearest", "arithmetic": "released",
    "zo_batch_size": 5, "fo_batch_size": 5, "direction": "rademacher",
}  # fmt: skip


def test_an_id_depends_on_every_field_and_every_setting():
    # In float32, rounding has no effect.
    spec = from_dict(ADDAX | {"dtype": "float16"})
    elsewhere = {"data_revision", "demonstrations", "train_on", "trust_remote_code", "settings", *BUDGETS}
    assert set(CHANGED) | elsewhere == {f.name for f in dataclasses.fields(RunSpec)}
    assert set(SETTINGS) == set(spec.settings)
    others = [spec.replace(**{key: value}) for key, value in CHANGED.items() if key != "method"]
    others += [spec.replace(settings=spec.settings | {key: value}) for key, value in SETTINGS.items()]
    others += [spec.replace(**{"steps": None, name: 10}) for name in BUDGETS[1:]]
    others += [spec.replace(model="owner/name", trust_remote_code=True), spec.replace(model="owner/name")]
    others += [spec.replace(data="hub", data_revision="v1")]
    others += [spec.replace(long_above=20, train_on="short"), from_dict(MEZO | {"dtype": "float16"})]
    others += [from_dict(ZERO), from_dict(ZERO | {"demonstrations": 4})]
    assert len({spec.id, *(o.id for o in others)}) == len(others) + 1


def test_a_run_that_repeats_its_length_threshold_for_long_rows_is_the_same_run():
    spec = from_dict(ADDAX | {"length_threshold": "q0.7"})
    same = from_dict(ADDAX | {"length_threshold": "q0.70", "long_above": "q0.7"})
    assert (same, same.id, same.long_above) == (spec, spec.id, None)
    other = from_dict(ADDAX | {"length_threshold": "q0.7", "long_above": 40})
    assert (other.long_above.tokens, from_dict(other.config())) == (40, other)
    assert other.id != spec.id


@pytest.mark.parametrize(("task", "own"), [("sst2", "accuracy"), ("cola", "matthews"), ("mrpc", "class_f1")])
def test_a_run_can_choose_its_metric_and_the_own_metric_of_the_task_is_the_default(task, own):
    spec = from_dict(ADDAX | {"task": task})
    specs = {name: spec.replace(metric=name) for name in ("accuracy", "class_f1", "matthews")}
    assert (specs[own], specs[own].id, specs[own].metric) == (spec, spec.id, None)
    assert {name: other.metric for name, other in specs.items() if name != own} == {
        n: n for n in specs if n != own
    }
    assert len({other.id for other in specs.values()}) == 3
    assert all(from_dict(other.config()) == other for other in specs.values())


@pytest.mark.parametrize("method", [*METHODS, ZERO_SHOT])
def test_every_method_takes_a_length_above_which_test_rows_are_long(method):
    given = ZERO if method == ZERO_SHOT else ADDAX | {"method": method}
    assert from_dict(given | {"long_above": "q0.75"}).long_above.quantile == 0.75
    if method != ZERO_SHOT:
        short = from_dict(given | {"long_above": 30, "train_on": "short"})
        assert short.train_on == "short"
        assert label(short) == f"{label(from_dict(given))} (short only)"


def test_a_field_that_was_added_later_is_part_of_an_id_unless_it_has_its_default():
    """Rows of suite `quick` from before these fields existed must keep their ids."""
    old = {"method": "ip-sgd", "model": "nano-opt", "task": "sst2", "steps": 5, "lr": 0.1}
    spec = from_dict(old)
    without = {k: v for k, v in spec.config().items() if k not in DEFAULTS_OMITTED_FROM_ID}
    text = json.dumps(without, sort_keys=True)
    assert spec.id == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert from_dict(old | {"trainable": "last:1"}).id != spec.id


@pytest.mark.parametrize("method", ["addax", "mezo", "mezo-svrg"])
def test_the_direction_of_every_zeroth_order_method_is_part_of_an_id_unless_it_is_normal(method):
    """Rows from before the setting existed must keep their ids."""
    spec = from_dict(ADDAX | {"method": method})
    assert spec.settings["direction"] == "normal"
    values = {k: v for k, v in spec.config().items() if k not in DEFAULTS_OMITTED_FROM_ID}
    values["settings"] = {k: v for k, v in spec.settings.items() if k != "direction"}
    assert spec.id == hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    signs = spec.replace(direction="rademacher")
    assert signs.id != spec.id
    assert from_dict(signs.config()) == signs


@pytest.mark.parametrize("text", ["lora", "lora:0", "lora:x", "last:-1", "none", "All", "last:2:3", ""])
def test_unknown_trainable_parts_are_rejected(text):
    with pytest.raises(
        UserError,
        match=re.escape(f"trainable must be all, lora:R, prefix:N, last:N, or adapter, not {text!r}"),
    ):
        from_dict(ADDAX | {"trainable": text})


def test_shots_must_be_positive_and_need_classes():
    assert from_dict(ADDAX | {"shots": 16}).shots == 16
    with pytest.raises(UserError, match="shots must be at least 1"):
        from_dict(ADDAX | {"shots": 0})
    with pytest.raises(UserError, match="task squad has no classes"):
        from_dict(ADDAX | {"shots": 16, "task": "squad"})


@pytest.mark.process
def test_an_id_is_the_same_in_another_process():
    code = "import json, sys; from benchmarks.config.spec import from_dict; "
    code += "print(from_dict(json.loads(sys.argv[1])).id)"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(dict(reversed(ADDAX.items())))],
        capture_output=True, text=True, check=True, cwd=registry.ROOT, env=_other_hashes(),
    )  # fmt: skip
    assert done.stdout.strip() == from_dict(ADDAX).id


def _other_hashes():
    return os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(registry.ROOT)}


def test_manual_runs_use_the_settings_of_suite_quick():
    from benchmarks.suites import quick

    hand = {"method": "addax", "model": "nano-opt", "task": "sst2"}
    spec = with_defaults(hand)
    assert spec.settings["lr"] == quick.SETTINGS["addax"]["lr"]
    assert spec.steps == quick.SETTINGS["addax"]["steps"]
    assert with_defaults(hand | {"lr": 0.5}).settings["lr"] == 0.5
    timed = with_defaults(hand | {"seconds": 3.0})
    assert (timed.steps, timed.seconds) == (None, 3.0)
    given = with_defaults(hand | {"lr": 0.5, "steps": 3})
    assert (given.settings["lr"], given.steps) == (0.5, 3)
    for changes, named in (
        ({"model": "facebook/opt-13b"}, "needs lr: pass --lr and a budget such as --steps"),
        ({"model": "facebook/opt-13b", "lr": 0.1}, "needs a budget (steps, seconds"),
        ({"method": "addaxx"}, "did you mean 'addax'"),
    ):
        with pytest.raises(UserError, match=re.escape(named)):
            with_defaults(hand | changes)


@pytest.mark.parametrize("model", sorted(n for n in models.builtin() if n.startswith("nano")))
@pytest.mark.parametrize("task", registry.files("task"))
def test_every_pair_of_task_and_model_works_or_is_rejected(model, task):
    given = ADDAX | {"model": model, "task": task}
    if models.builtin()[model].masked and tasks.load(task).loss == "teacher_forcing":
        with pytest.raises(UserError, match="needs a causal model"):
            from_dict(given)
    else:
        assert from_dict(given).task == task
