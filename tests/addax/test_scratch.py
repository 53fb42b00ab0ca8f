"""Tests of scratch memory on a CPU: one shared arena, which is never reused while a tensor still views it."""

import torch

from addax.scratch import ALIGNMENT, Scratch, in_use, memory, outliving

WEIGHT = torch.zeros(3, 4)


def test_the_arena_is_reused_once_everything_is_released():
    scratch = Scratch(2 * ALIGNMENT)
    first, second = scratch.take(WEIGHT), scratch.take(WEIGHT)
    assert memory(first) == memory(second)
    assert first.data_ptr() != second.data_ptr()
    address = first.data_ptr()
    scratch.release(first)
    scratch.release(second)
    del first, second
    assert scratch.take(WEIGHT).data_ptr() == address


def test_an_arena_that_is_still_viewed_is_replaced():
    scratch = Scratch(ALIGNMENT)
    part = scratch.take(WEIGHT)
    view = part[1:].fill_(7)
    scratch.release(part)
    scratch.take(WEIGHT).zero_()
    assert bool((view == 7).all())


def test_requests_beyond_the_arena_are_allocated_separately():
    scratch = Scratch(ALIGNMENT)
    first, second = scratch.take(WEIGHT), scratch.take(WEIGHT)
    assert memory(first) != memory(second)
    scratch.release(second)
    assert scratch.most == 2 * ALIGNMENT


def test_parts_of_the_arena_are_aligned():
    weights = [torch.zeros(3), torch.zeros(5), torch.zeros(64)]
    scratch = Scratch(in_use(weights))
    parts = [scratch.take(w) for w in weights]
    assert len({memory(p) for p in parts}) == 1
    assert {p.data_ptr() % (4 * ALIGNMENT) for p in parts} == {parts[0].data_ptr() % (4 * ALIGNMENT)}


def test_separate_memory_is_the_same_in_every_evaluation():
    scratch = Scratch(ALIGNMENT)
    first = scratch.take(WEIGHT, key=0)
    assert memory(scratch.take(WEIGHT, key=0)) == memory(first)
    assert memory(scratch.take(WEIGHT)) != memory(first)


def test_a_different_dtype_is_allocated_separately():
    scratch = Scratch(2 * ALIGNMENT)
    first, half = scratch.take(WEIGHT), scratch.take(WEIGHT.half())
    assert (half.dtype, memory(half) == memory(first)) == (torch.float16, False)


def test_only_outputs_in_scratch_memory_are_copied():
    p = torch.nn.Parameter(torch.ones(3))
    free = torch.ones(3)
    assert outliving(free, [p.data]) is None
    assert outliving({"a": free, "b": [free]}, [p]) is None
    copied = outliving((p[1:], {"free": free}), [p])
    assert memory(copied[0]) != memory(p)
    assert torch.equal(copied[0], p[1:])
    assert copied[1]["free"] is free
