"""The device of the tests in this folder: a simulated GPU and, if there is one, the first real GPU."""

import pytest
import torch

from tests.simulated_gpu import GPUS

NEEDS_CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


CUDA = pytest.param("cuda", marks=NEEDS_CUDA)
# The interpreter is too slow for models. Tests of single tensors use it as well.
WITH_KERNELS = pytest.mark.parametrize("gpu", ["simulated", "interpreted", CUDA], indirect=True)


@pytest.fixture(params=["simulated", CUDA])
def gpu(request):
    """The simulated or the real GPU, in use during the test."""
    device = GPUS[request.param]()
    with device.in_use():
        yield device
