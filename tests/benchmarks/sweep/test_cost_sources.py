"""Tests of the sources of costs: finished runs, earlier timings, timings, and other tasks."""

import io
from concurrent.futures import Future
from functools import partial

import pytest
import torch
from rich.console import Console

from benchmarks.config.spec import from_dict
from benchmarks.results import store
from benchmarks.sweep import bounds, cost_sources, estimate, known_costs, timing
from benchmarks.sweep.costs import Costs, Sizes, StepCost
from benchmarks.sweep.executor import Died
from benchmarks.training import run as train
from benchmarks.training.pace import Pace
from tests.benchmarks.sweep.inline import SPECS, swept
from tests.benchmarks.training.tiny_runs import row_of, tiny

COSTS = Costs(2.0, (StepCost(1.0, 3, 6, 100.0, ("zo",)),), 0.5, 1.0, 50.0, 80.0)


class Workers:
    """An executor whose workers answer at once, or never.

    Args:
        answers: work -> function of a spec that returns its result or raises an error; None never answers.
    """

    def __init__(self, answers):
        self.answers, self.asked, self.closed = answers, [], None

    def __call__(self, lanes, gpus=()):
        self.lanes, self.gpus = lanes, gpus
        return self

    def submit(self, work, spec):
        while isinstance(work, partial):
            work = work.func
        self.asked.append((work.__name__, spec.task))
        future, answer = Future(), self.answers[work.__name__]
        if answer is None:
            future.set_running_or_notify_cancel()
            return future
        try:
            future.set_result(answer(spec))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self, now=False):
        self.closed = now


@pytest.fixture
def cache(tmp_path, monkeypatch, runs):
    """An empty cache folder and an empty folder of rows; every sweep is long enough to be timed."""
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bounds, "most_seconds", lambda spec: 1e9)
    return tmp_path / "cache"


def estimated(monkeypatch, specs, *, measure, sizes=None, **options):
    """Estimate specs with these answers of the workers; return the estimate and the workers."""
    workers = Workers({"measure": measure, "sizes": sizes})
    monkeypatch.setattr(cost_sources, "LocalExecutor", workers)
    return estimate.estimate(specs, "s", None, 1, **options), workers


def timed(spec):
    """Return the result of a timing."""
    return timing.Timing(COSTS, "a computer")


def fail(error):
    """Raise an error."""
    raise error


def test_a_timing_is_stored_and_the_next_estimate_starts_no_process(cache, monkeypatch):
    specs = [tiny("mezo", seed=seed) for seed in (0, 1)]
    first, workers = estimated(monkeypatch, specs, measure=timed)
    # The two seeds are one kind of run: 2 s + 4 steps + 3 evaluations + the test.
    assert workers.asked == [("measure", "sst2")]
    assert workers.closed is False
    assert [run.seconds for run in first.runs] == [8.5, 8.5]
    assert first.line() == "time: about 17 s with 1 job (1 kind of runs: 1 timed)"
    second, workers = estimated(monkeypatch, specs, measure=lambda spec: fail(AssertionError))
    assert (second, workers.asked) == (first, [])
    # Other code invalidates it.
    monkeypatch.setattr(known_costs, "source_fingerprint", lambda spec: "0" * 16)
    assert estimated(monkeypatch, specs, measure=timed)[1].asked == [("measure", "sst2")]


def test_a_damaged_timing_is_repeated(cache, monkeypatch):
    estimated(monkeypatch, [tiny("mezo")], measure=timed)
    (file,) = (cache / "timing").iterdir()
    file.write_text('{"costs": {}}')
    assert estimated(monkeypatch, [tiny("mezo")], measure=timed)[1].asked == [("measure", "sst2")]


@pytest.mark.medium
def test_finished_runs_of_the_same_kind_come_first(cache, monkeypatch):
    # The runs of this sweep work in the process of the tests.
    monkeypatch.setattr("os.cpu_count", torch.get_num_threads)
    assert swept(SPECS[2:3])[0] == 0
    (row,) = store.read_suite("s")
    again = SPECS[2].replace(seed=7, data_seed=7)
    found, workers = estimated(monkeypatch, [again], measure=lambda spec: fail(AssertionError))
    assert workers.asked == []
    assert found.kinds == {cost_sources.FINISHED: 1}
    # The same steps and evaluations take the same time; only the writing of checkpoints is left out.
    expected = row["wall_seconds"] - row["checkpoint_seconds"]
    assert found.total_seconds == pytest.approx(expected, rel=1e-9)
    # Other settings, batch sizes, or hardware are another kind.
    for other in (
        again.replace(settings={**again.settings, "zo_batch_size": 5}),
        again.replace(dtype="float64"),
    ):
        assert estimated(monkeypatch, [other], measure=timed)[1].asked
    monkeypatch.setattr(cost_sources, "hardware_of", lambda devices: "another computer")
    assert estimated(monkeypatch, [again], measure=timed)[1].asked


def test_the_values_of_settings_change_no_cost_but_batch_sizes_do():
    def kind(**changes):
        return known_costs.kind_of(tiny("mezo", **changes).config())

    same = [kind(), kind(seed=3), kind(data_seed=3), kind(lr=0.5, eps=1e-2), kind(steps=None, examples=9)]
    assert len(set(same)) == 1
    others = [
        kind(zo_batch_size=5),
        kind(lr=0.0),
        kind(train_rows=9),
        kind(task="cb"),
        kind(trainable="lora:4"),
    ]
    assert len({*same, *others}) == 6


def test_one_task_of_a_method_and_model_is_timed_and_the_others_are_scaled(cache, monkeypatch):
    monkeypatch.setattr(cost_sources, "SHARE", 0.0)
    specs = [tiny("mezo", task=task) for task in ("sst2", "cb", "boolq")] + [tiny("mezo", dtype="float64")]
    sizes = Sizes({"zo": 3.0}, {"zo": 400.0}, 100.0, 160.0)
    found, workers = estimated(monkeypatch, specs, measure=timed, sizes=lambda spec: sizes)
    assert workers.asked == [("measure", "sst2"), ("measure", "sst2"), ("sizes", "cb"), ("sizes", "boolq")]
    # 2 s + 4 steps of 4 s + 3 evaluations of 1 s + a test of 2 s.
    assert [run.seconds for run in found.runs] == [8.5, 23.0, 23.0, 8.5]
    assert found.kinds == {cost_sources.TIMED: 2, cost_sources.SCALED: 2}
    assert found.total_seconds == 63
    assert estimated(monkeypatch, specs, measure=None)[1].asked == []


def test_more_tasks_are_timed_for_a_share_of_a_long_sweep(cache, monkeypatch):
    specs = [tiny("mezo", task=task, steps=10**7) for task in ("sst2", "cb")]
    found, workers = estimated(monkeypatch, specs, measure=timed)
    assert workers.asked == [("measure", "sst2"), ("measure", "cb")]
    assert found.kinds == {cost_sources.TIMED: 2}


def test_a_failed_timing_is_unknown_with_its_reason_and_another_task_is_tried(cache, monkeypatch):
    def measure(spec):
        if spec.task == "sst2":
            return timing.Timing("out of memory in zo", None)
        if spec.task == "cb":
            raise Died("its worker process was ended by SIGKILL")
        return timed(spec)

    specs = [tiny("mezo", task=task) for task in ("sst2", "cb", "boolq")]
    found, workers = estimated(monkeypatch, specs, measure=measure)
    assert [run.seconds for run in found.runs] == [None, None, 8.5]
    assert found.line() == (
        "time: at least 8 s with 1 job (1 kind of runs: 1 timed); "
        "1 run unknown: out of memory in zo; 1 run unknown: its worker process was ended by SIGKILL"
    )
    assert workers.closed is False


def test_a_timing_that_takes_too_long_is_given_up_and_its_process_is_ended(cache, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(cost_sources.time, "monotonic", lambda: now[0])

    def wait(futures, timeout, return_when):
        now[0] += timeout
        return real(futures, 0)

    real = cost_sources.wait
    monkeypatch.setattr(cost_sources, "wait", wait)
    found, workers = estimated(monkeypatch, [tiny("mezo")], measure=None)
    assert now[0] == cost_sources.PATIENCE * cost_sources.LIMIT
    assert found.line() == "time: 1 run unknown: timing it takes longer than 300 s"
    assert workers.closed is True


def test_an_interrupt_ends_the_processes(cache, monkeypatch):
    workers = Workers({"measure": timed})
    monkeypatch.setattr(cost_sources, "LocalExecutor", workers)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cost_sources, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimate.estimate([tiny("mezo")], "s", None, 1)
    assert workers.closed is True


def test_a_model_that_is_not_downloaded_is_not_timed(cache, monkeypatch):
    specs = [tiny("mezo"), tiny("mezo").replace(model="facebook/opt-13b")]
    found, workers = estimated(
        monkeypatch, specs, measure=timed,
        unavailable=lambda spec: "unknown until it is downloaded" if "/" in spec.model else None,
    )  # fmt: skip
    assert len(workers.asked) == 1
    assert found.unknown == {"unknown until it is downloaded": 1}


def test_short_runs_are_not_timed(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path))
    found, workers = estimated(monkeypatch, [tiny("mezo")], measure=timed)
    assert workers.asked == []
    assert found.line() == "time: 1 run not timed, because they take less than 30 s"
    large = tiny("mezo", steps=5000)
    assert estimated(monkeypatch, [large], measure=timed)[1].asked


def test_a_bound_exceeds_the_operations_of_a_run():
    """The bound counts more operations than the counters of a run, at a fixed rate."""
    spec = SPECS[2]
    row = row_of(spec)
    examples = row["forward_equivalents"] + sum(point["n"] for point in row["curve"]) + row["test"]["n"]
    assert bounds.most_seconds(spec) > 2 * examples * bounds.TOKENS * row["parameters"] / bounds.RATE
    budgets = {
        "seconds": 100.0,
        "examples": row["examples"],
        "forward_equivalents": row["forward_equivalents"],
    }
    for name, amount in budgets.items():
        bound = bounds.most_seconds(spec.replace(**{"steps": None, name: amount}))
        assert bound > (amount if name == "seconds" else 1.0)


@pytest.mark.medium
def test_a_checkpoint_shortens_its_run(cache, monkeypatch):
    """A run that was killed after the checkpoint of its second step has the other two left."""
    monkeypatch.setattr(Pace, "due", lambda self, after_evaluation=False: True)
    spec = tiny("mezo", evaluations=1)
    checkpoints = train.checkpoints_of(spec, train.load(spec, None), "s", print, 0.0)

    class Killed(Exception):
        pass

    def progress(fraction, text):
        if fraction >= 0.75:
            raise Killed

    with pytest.raises(Killed):
        train.run(spec, train.load(spec, None), suite="s", checkpoints=checkpoints, progress=progress)
    found, _ = estimated(monkeypatch, [spec], measure=timed)
    # 2 s, two steps, the last evaluation, and the test.
    assert found.total_seconds == 2 + 2 * 1.0 + 0.5 + 1.0
    (file,) = store.checkpoints("s").glob("*/last.pt")
    file.write_bytes(b"damaged")
    assert estimated(monkeypatch, [spec], measure=timed)[0].total_seconds == 8.5 - 0.5


def test_workers_that_share_a_gpu_take_turns(cache, monkeypatch):
    monkeypatch.setattr(estimate.cards, "visible_cards", lambda: ("0",))
    spec = from_dict({**tiny("mezo").config(), "device": "cuda"})
    workers = Workers({"measure": timed, "hardware": lambda spec: "a card"})
    monkeypatch.setattr(cost_sources, "LocalExecutor", workers)
    specs = [spec.replace(seed=seed) for seed in range(4)]
    found = estimate.estimate(specs, "s", None, 2)
    assert (found.jobs, found.lanes, workers.lanes, workers.gpus) == (2, 1, 1, ("0",))
    assert found.seconds == found.total_seconds == 4 * 8.5


def test_runs_on_cores_work_at_the_same_time(cache, monkeypatch):
    monkeypatch.setattr(estimate.os, "cpu_count", lambda: 8)
    workers = Workers({"measure": timed})
    monkeypatch.setattr(cost_sources, "LocalExecutor", workers)
    specs = [tiny("mezo", seed=seed) for seed in range(5)]
    found = estimate.estimate(specs, "s", None, 2)
    assert (found.lanes, found.seconds) == (2, 3 * 8.5)


def test_a_terminal_shows_that_steps_are_timed(cache, monkeypatch):
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal)
        estimated(monkeypatch, [tiny("mezo", eval_batch_size=4 + terminal)], measure=timed, console=console)
        assert ("timing a few steps" in console.file.getvalue()) is terminal
