"""Tests that shape-only mode affects only one thread, and only inside its context."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from addax import noise, validation
from addax.memory.shape_only import META, scratch_buffers, shape_only
from baselines.mezo import MeZO


def on_meta():
    return nn.Linear(4, 4, device="meta")


def test_a_method_can_be_built_from_a_meta_model_only_in_shape_only_mode():
    with pytest.raises(ValueError, match="offloaded"):
        MeZO(on_meta(), lr=0.1)
    with shape_only("cuda"):
        MeZO(on_meta(), lr=0.1)
    with pytest.raises(ValueError, match="offloaded"):
        MeZO(on_meta(), lr=0.1)


@pytest.mark.parametrize(("device", "size"), [("cpu", noise.CPU_BLOCK), ("cuda", noise.FUSED_BLOCK)])
def test_only_the_first_block_of_a_tensor_is_processed(device, size):
    blocks = []
    with shape_only(device):
        noise.for_blocks(3 * noise.GPU_BLOCK, META, lambda block, part: blocks.append((block, part)))
    assert blocks == [(0, slice(0, size))]


def test_other_threads_are_not_affected():
    with shape_only("cuda"), ThreadPoolExecutor(1) as threads:
        assert not noise.on_cpu(torch.device("cpu"))
        assert threads.submit(noise.on_cpu, torch.device("cpu")).result()
        parameter = nn.Linear(1, 1, device="meta").weight
        assert not validation.is_offloaded(parameter)
        assert threads.submit(validation.is_offloaded, parameter).result()


def test_lookups_are_restored_after_an_error():
    before = noise.on_cpu, noise.for_all_blocks, validation.is_offloaded
    with pytest.raises(RuntimeError, match="stop"), shape_only("cpu"):
        raise RuntimeError("stop")
    assert (noise.on_cpu, noise.for_all_blocks, validation.is_offloaded) == before
    assert META not in noise.workspace.generators


def test_scratch_buffers_are_per_thread():
    def work():
        assert scratch_buffers() == []
        noise.direction(0, 0, 0, 8, torch.device("cpu"))
        return [b.shape for b in scratch_buffers()]

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(work).result() == [(8,)]
