"""Tests of the tracer: it records allocations of meta tensors, and no others, by size, phase, and kind."""

import torch
from torch import nn

from addax.memory.tracer import ACTIVATIONS, KINDS, PARAMETERS, Allocations, PhaseHooks


def peak(allocations, phase):
    return dict(zip(KINDS, allocations.peaks().bytes[phase], strict=True))


def test_a_phase_peaks_at_its_largest_moment():
    theta = torch.empty(10, device="meta")
    with Allocations([theta], 1) as allocations:
        allocations.phase = ("fo", "forward", 0)
        first = torch.ones(100, device="meta")
        del first
        second = torch.ones(50, device="meta")
        allocations.phase = ("fo", "forward", 1)
        third = torch.ones(20, device="meta")
    assert (second.is_meta, third.is_meta) == (True, True)
    assert peak(allocations, ("fo", "forward", 0))["activations"] == 400
    assert peak(allocations, ("fo", "forward", 1))["activations"] == 280
    assert peak(allocations, ("fo", "forward", 1))["parameters"] == 40


def test_sizes_are_rounded_up_to_the_granularity():
    with Allocations([], 512) as allocations:
        tensors = [
            torch.ones(1, device="meta"),
            torch.ones(128, device="meta"),
            torch.ones(129, device="meta"),
        ]
    assert len(tensors) == 3
    assert peak(allocations, ("", "outside", 0))["activations"] == 512 + 512 + 1024


def test_views_and_real_tensors_are_not_counted():
    theta = torch.empty(8, 8, device="meta")
    with Allocations([theta], 1) as allocations:
        views = [theta[1:], theta.t(), theta.view(-1)]
        real = torch.ones(1000)
    assert len(views) == 3
    assert real.sum() == 1000
    assert allocations.peaks().bytes == {("", "outside", 0): (256, 0, 0, 0, 0)}


def test_writes_in_place_allocate_nothing():
    theta, other = torch.empty(1000, device="meta"), torch.empty(1000, device="meta")
    with Allocations([theta, other], 1) as allocations:
        assert theta.add_(other) is theta
        torch.mul(theta, other, out=other)
        theta.zero_()
    assert allocations.peaks().bytes == {("", "outside", 0): (8000, 0, 0, 0, 0)}


def test_a_storage_can_be_classified_afterwards():
    with Allocations([], 1) as allocations:
        tensor = torch.ones(10, device="meta")
        allocations.classify(tensor, PARAMETERS)
    assert peak(allocations, ("", "outside", 0)) == dict.fromkeys(KINDS, 0) | {"parameters": 40}
    assert KINDS[ACTIVATIONS] == "activations"


def test_phases_follow_closures_layers_and_the_backward_pass():
    layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)]).to("meta")
    model = nn.Sequential(*layers)
    x = torch.ones(2, 4, device="meta", requires_grad=True)
    seen = []

    class Seen(Allocations):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "phase":
                seen.append(value)

    with Seen(model.parameters(), 1) as allocations:
        closure = PhaseHooks(allocations, model, layers).around("fo_loss", lambda: model(x * 1).sum())
        closure().backward()
    assert seen[1:] == [
        *[("fo", "forward", n) for n in (-1, 0, 1, 2, 3)],
        ("fo", "outside", 0),
        *[("fo", "backward", n) for n in (2, 1, 0, -1)],
    ]
