"""Tests of the pace of checkpoints: the first one comes early, and all of them take a small share of time."""

import pytest

from benchmarks.training import pace
from benchmarks.training.pace import FIRST, SHARE, Pace


@pytest.fixture
def clock(monkeypatch):
    """Return a list with the time in seconds, which the test sets."""
    clock = [1000.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    return clock


def saves(rule, clock, *, until, step, cost, evaluate_every=0):
    """Take steps until a time, save when a checkpoint is due, and return when each one began."""
    began, start, steps = [], clock[0], 0
    while clock[0] - start < until:
        clock[0] += step
        steps += 1
        if rule.due(after_evaluation=bool(evaluate_every) and steps % evaluate_every == 0):
            began.append(clock[0] - start)
            clock[0] += cost
            rule.saved(cost)
    return began


@pytest.mark.parametrize("cost", [0.01, 13.0, 129.0, 400.0])
def test_the_first_checkpoint_comes_after_a_minute_of_steps_whatever_it_costs(clock, cost):
    rule = Pace(minutes=10)
    # The model loads for an hour.
    clock[0] += 3600
    first = saves(rule, clock, until=700, step=5, cost=cost)[0]
    assert FIRST <= first <= FIRST + 2 * 5


def test_the_first_evaluation_saves_a_checkpoint(clock):
    assert not Pace(minutes=10).due()
    assert Pace(minutes=10).due(after_evaluation=True)


@pytest.mark.parametrize(("minutes", "expected"), [(0.5, [30, 61, 92]), (2, [60, 181])])
def test_cheap_checkpoints_follow_at_the_interval_that_was_asked_for(clock, minutes, expected):
    began = saves(Pace(minutes), clock, until=200, step=1, cost=1, evaluate_every=0)
    assert began[: len(expected)] == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("evaluate_every", [0, 1, 7])
@pytest.mark.parametrize("cost", [0.5, 13.0, 129.0])
def test_all_checkpoints_but_the_last_take_at_most_their_share(clock, cost, evaluate_every):
    day = 24 * 3600
    began = saves(Pace(10), clock, until=day, step=5, cost=cost, evaluate_every=evaluate_every)
    assert (len(began) - 1) * cost <= SHARE * began[-1]
    # The bound is used where it decides.
    between = max(cost / SHARE, 5) if evaluate_every == 1 else max(cost / SHARE, 600)
    assert len(began) >= 0.8 * day / (between + cost + 5 * max(evaluate_every, 1))


def test_a_checkpoint_after_an_evaluation_does_not_wait_for_the_interval(clock):
    rule = Pace(minutes=10)
    rule.saved(seconds=1)
    clock[0] += 1 / SHARE
    assert not rule.due()
    assert rule.due(after_evaluation=True)
    clock[0] -= 1
    assert not rule.due(after_evaluation=True)
