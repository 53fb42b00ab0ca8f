"""Tests of the kernels on a GPU, against the reference, the interpreter, and torch."""

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from addax.kernels import launch
from addax.kernels.available import unavailable
from addax.kernels.draw import draw
from addax.kernels.perturb import perturb
from addax.kernels.update import update
from tests.addax.kernels import reference
from tests.addax.kernels.interpreter import kernels_on_cpu
from tests.addax.kernels.test_perturb import DTYPES, bits, expected, weights
from tests.numerics.oracle import CPU

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda", 0)


def test_the_kernels_are_available():
    assert unavailable(CUDA) is None


def test_z_equals_the_reference_far_into_a_large_tensor():
    """A tensor of 2^31 + 5 elements, whose byte offsets need more than 32 bits."""
    size = 2**31 + 5
    if torch.cuda.mem_get_info()[0] < 5 * size:
        pytest.skip("needs 10 GiB of free memory")
    z = draw(5, 3, torch.Size([size]), CUDA)
    elements = np.arange(size - 5000, size)
    np.testing.assert_allclose(
        z[-5000:].double().cpu().numpy(), reference.normals(5, 3, elements), rtol=1e-6, atol=0
    )
    signs = draw(5, 3, torch.Size([size]), CUDA, "rademacher")
    assert (signs[-5000:].cpu().numpy() == reference.signs(5, 3, elements)).all()


def results(device, dtype, sizes, direction):
    """Perturb tensors, and update them with two directions and the perturbed tensors as gradients."""
    thetas = [weights(n, dtype).to(device) for n in sizes]
    outs = [torch.empty_like(t) for t in thetas]
    coefficients = torch.tensor(
        [1e-2, -3e-3, 0.1], dtype=torch.promote_types(dtype, torch.float32), device=device
    )
    flag = torch.zeros((), dtype=torch.int32, device=device)
    perturb([(t, o, i) for i, (t, o) in enumerate(zip(thetas, outs, strict=True))], 6, 0.1, direction)
    update(
        [(t, i, o) for i, (t, o) in enumerate(zip(thetas, outs, strict=True))],
        7,
        directions=[1, 2],
        direction=direction,
        coefficients=coefficients,
        not_finite=flag,
    )
    return [t.cpu() for t in (*outs, *thetas)], flag.item()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sums_and_rounding_equal_the_interpreters(dtype, monkeypatch):
    """Bit for bit, with signs, for two small tensors and a large one."""
    monkeypatch.setattr(launch, "SMALL", 4000)
    ours, flag = results(CUDA, dtype, (3, 700, 5000), "rademacher")
    with kernels_on_cpu():
        theirs, on_cpu = results(CPU, dtype, (3, 700, 5000), "rademacher")
    assert flag == on_cpu == 1
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(bits(a), bits(b))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_perturbed_weights_equal_torch_given_the_cards_normals(dtype):
    """The interpreter's fused multiply-adds can differ from a card's in the last bit of a normal."""
    sizes = (3, 700, 70001)
    outs, _ = results(CUDA, dtype, sizes, "normal")
    for i, (size, out) in enumerate(zip(sizes, outs, strict=False)):
        source = weights(size, dtype)
        z = draw(6, i, source.shape, CUDA).cpu()
        assert torch.equal(bits(out), bits(expected(source, z, 0.1)))
