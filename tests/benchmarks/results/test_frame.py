"""Tests of frames: one line per run, in a fixed order, computed once."""

import pytest

from benchmarks.errors import UserError
from benchmarks.report.tables import markdown
from benchmarks.results import select
from benchmarks.results.frame import NUMBERS, TEXTS, Results, frame, require_rows, setting_of
from tests.benchmarks.results import result_rows as made


def test_a_frame_has_the_columns_that_it_declares():
    assert list(frame([made.row()]).columns) == list(frame([]).columns) == [*TEXTS, *NUMBERS]


def test_a_repeated_run_is_not_a_second_seed():
    old, new = made.row("adam"), made.row("adam")
    old["score"], old["ended"] = 0.1, "2026-02-01T00:00:00+00:00"
    for order in ([old, new], [new, old]):
        (line,) = Results.of(order).means.to_dict("records")
        assert (line["n"], line["score"]) == (1, new["score"])


def test_a_row_from_before_a_field_existed_has_the_same_setting():
    old, new = made.row("adam"), made.row("adam", seed=1)
    new["config"] |= {"long_above": None, "train_on": "all"}
    (line,) = Results.of([old, new]).means.to_dict("records")
    assert line["n"] == 2
    new["config"] |= {"long_above": 40}
    assert len(set(frame([old, new])["setting"])) == 2


def test_the_scores_on_long_and_short_rows_are_averaged_over_seeds():
    rows = [made.row("adam", seed=s) for s in range(3)]
    for row, long, short, tokens in zip(rows, (0.5, 0.6, 0.7), (0.9, 0.8, None), (40, 41, 42), strict=True):
        row |= {"test_long": {"score": long}, "test_short": short and {"score": short}}
        row["long_above_tokens"] = tokens
    (line,) = Results.of(rows).means.to_dict("records")
    assert [line[name] for name in ("score_long", "score_long_std", "score_short", "long_above_tokens")] == (
        pytest.approx([0.6, 0.1, 0.85, 41])
    )


def test_several_dtypes_are_separate_entries():
    wide, half = made.row("adam"), made.row("adam")
    half["config"]["dtype"] = "bfloat16"
    assert sorted(frame([wide, half])["label"]) == ["Adam", "Adam bfloat16"]
    assert list(frame([half])["label"]) == ["Adam"]
    zero = made.row("zero-shot")
    zero["config"]["dtype"] = "bfloat16"
    assert sorted(frame([wide, half, zero])["label"]) == ["Adam", "Adam bfloat16", "zero-shot"]


def test_rows_of_several_kinds_are_rejected():
    with pytest.raises(UserError, match="rows of several kinds"):
        Results.of([*made.precision(), made.row()])
    with pytest.raises(UserError, match="rows of several kinds"):
        Results.of([*made.precision(), *made.lengths()])


def test_rows_of_a_study_are_unchanged_lines():
    rows = made.precision()
    results = Results.of(rows)
    assert (results.study, len(results.runs), results.excluded) == ("precision", len(rows), [])


def test_the_setting_is_selected_once_however_often_it_is_used(monkeypatch):
    calls = []
    choose = select.select_best_setting
    monkeypatch.setattr(select, "select_best_setting", lambda runs: calls.append(1) or choose(runs))
    results = Results.of(made.suite(tasks=("sst2", "rte")))
    for _ in range(3):
        assert len(results.means) == len(results.selected)
    assert len(results.only(["Addax"]).means) == 2
    assert len(calls) == 1


def test_a_subset_of_methods_has_the_same_means():
    results = Results.of(made.suite(tasks=("sst2", "rte"), seeds=(0, 1)))
    part, whole = results.only(["Adam", "MeZO"]).means, results.means
    assert set(part["label"]) == {"Adam", "MeZO"}
    expected = whole[whole["label"].isin(["Adam", "MeZO"])].reset_index(drop=True)
    assert part.equals(expected)


def test_an_unknown_method_is_named_with_the_nearest_one():
    with pytest.raises(UserError, match="unknown method in these rows 'IPSGD': did you mean 'IP-SGD'"):
        Results.of(made.suite(tasks=("rte",))).only(["IPSGD"])


def test_no_rows_is_a_one_line_error():
    with pytest.raises(UserError, match="run `python -m benchmarks sweep demo` first"):
        require_rows(Results.of([]), "demo")


def test_a_setting_is_flat_and_includes_the_length_threshold():
    (text,) = frame([made.row(lr=0.5, length_threshold="q0.75")])["setting"]
    setting = setting_of(text)
    assert (setting["lr"], setting["length_threshold"], setting["task"]) == (0.5, "q0.75", "sst2")
    assert "settings" not in setting


def on(device, *args, **fields):
    row = made.row(*args, **fields)
    row["config"] |= {"device": device}
    return row


def test_seeds_on_several_cards_are_seeds_of_one_setting():
    rows = [on(f"cuda:{seed % 2}", "adam", seed=seed) for seed in range(6)]
    (line,) = Results.of(rows).means.to_dict("records")
    assert line["n"] == 6


def test_runs_on_a_cpu_and_on_a_gpu_are_not_compared():
    rows = [on("cuda", "adam", seed=seed) for seed in range(2)] + [on("cpu", "mezo"), on("cpu", "zero-shot")]
    results = Results.of(rows)
    assert set(results.means["label"]) == {"Adam", "zero-shot"}
    (entry,) = results.excluded
    assert (entry["what"], entry["label"], entry["kind"], entry["reference"]) == (
        "device",
        "MeZO",
        "cpu",
        "cuda",
    )


def test_tasks_with_one_title_are_told_apart():
    rows = [made.row("adam", task) for task in ("rte", "rte-cloze", "cb")]
    rows[1]["task_title"] = "RTE"
    titles = {"rte": "RTE (rte)", "rte-cloze": "RTE (rte-cloze)", "cb": "CB"}
    assert dict(Results.of(rows).runs[["task", "title"]].to_numpy()) == titles
    text = markdown(Results.of(rows).means, "score")
    assert all(title in text for title in titles.values())
