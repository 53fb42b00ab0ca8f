"""Tests on a GPU: the workspaces of cuBLAS have the sizes that predictions include."""

import pytest
import torch

from addax.memory.workspaces import cublas_workspaces
from benchmarks.profiling.warm_up import warm_up

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_warm_up_allocates_the_predicted_workspaces_once():
    gpu = torch.device("cuda", 0)
    warm_up([gpu], torch.bfloat16)
    # Workspaces of other tests' threads are freed; those of this thread and of the backward thread return.
    torch._C._cuda_clearCublasWorkspaces()
    before = torch.cuda.memory_allocated(gpu)
    warm_up([gpu], torch.bfloat16)
    after = torch.cuda.memory_allocated(gpu)
    warm_up([gpu], torch.float32)
    assert torch.cuda.memory_allocated(gpu) == after
    workspaces = cublas_workspaces(torch.cuda.get_device_capability(gpu))
    # Where workspaces belong to threads, only those of this thread were cleared.
    assert after - before in (sum(workspaces), workspaces[0])
