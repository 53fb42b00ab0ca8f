"""Tests that z is standard normal and a pure function of the step seed and the parameter's index."""

import hashlib
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from scipy import stats

from addax import noise, seeds
from addax.addax import Addax
from tests.numerics.oracle import CPU, HALVES, MLP, TIED
from tests.numerics.updates import update

ROOT = Path(__file__).resolve().parents[2]
N = 10_000_000
DRAWS = 2**18


def draw(seed, index=0, numel=DRAWS):
    """Draw a flat z."""
    return noise.draw(seed, index, torch.Size([numel]), CPU)


def test_z_is_standard_normal():
    """The moments are within six standard errors, and a Kolmogorov-Smirnov test accepts N(0, 1)."""
    z = draw(17, index=3, numel=N).double()
    assert abs(z.mean().item()) < 6 / N**0.5
    assert abs(z.var().item() - 1) < 6 * (2 / N) ** 0.5
    assert abs((z**3).mean().item()) < 6 * (15 / N) ** 0.5
    assert abs((z**4).mean().item() - 3) < 6 * (96 / N) ** 0.5
    assert stats.kstest(z.numpy(), "norm").pvalue > 1e-4
    lagged = torch.dot(z[1:], z[:-1]).item() / N
    assert abs(lagged) < 6 / N**0.5


PAIRS = {
    "parameters": lambda: (draw(1, 0), draw(1, 1)),
    "far parameters": lambda: (draw(1, 0), draw(1, 1024)),
    "blocks": lambda: tuple(draw(1, 0, 2 * noise.CPU_BLOCK).chunk(2)),
    "block of one and the next parameter": lambda: (draw(1, 0, 2 * noise.CPU_BLOCK)[-DRAWS:], draw(1, 1)),
    "seeds 1 apart": lambda: (draw(1), draw(2)),
    "seeds 2^32 apart": lambda: (draw(1), draw(1 + 2**32)),
    "seeds 2^63 apart": lambda: (draw(1), draw(1 + 2**63)),
    "steps": lambda: (draw(seeds.hash_seed(0, 0)), draw(seeds.hash_seed(0, 1))),
    "runs": lambda: (draw(seeds.hash_seed(0, 1)), draw(seeds.hash_seed(1, 0))),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_streams_are_independent(pair):
    """Two streams are uncorrelated at every lag, so neither is a shifted copy of the other."""
    a, b = PAIRS[pair]()
    lags = torch.fft.irfft(torch.fft.rfft(a) * torch.fft.rfft(b).conj(), n=a.numel()) / a.numel()
    # The largest of 2^18 standard normals is about 5.
    assert lags.abs().max().item() < 7.5 / a.numel() ** 0.5


def test_stream_seed_is_injective_on_cpu():
    """Distinct triples (stream, index, block) have distinct 32-bit seeds, even at the ends of the ranges."""
    indices = [*range(40), seeds.MAX_TENSORS // 2, seeds.MAX_TENSORS - 1]
    numbers = [*range(40), seeds.MAX_BLOCKS // 2, seeds.MAX_BLOCKS - 1]
    # A step draws normals or signs, never both.
    for key, z in itertools.product((0, 1, 2**32, 2**63 + 5), (seeds.NORMAL, seeds.SIGNS)):
        streams = (z, seeds.ROUNDING)
        found = [
            seeds.stream_seed(key, i, b, s, "cpu") for i, b, s in itertools.product(indices, numbers, streams)
        ]
        assert len(set(found)) == len(found)
        assert all(0 <= s < 2**32 for s in found)


@pytest.mark.parametrize("mix", ["_mix32", "_mix64"])
def test_mixing_is_a_bijection(mix):
    """Applying the inverse of each operation in reverse order gives back the input."""
    bits, shifts, factors = {
        "_mix32": (32, (16, 13, 16), (0x85EBCA6B, 0xC2B2AE35)),
        "_mix64": (64, (30, 27, 31), (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)),
    }[mix]

    def unshift(x, shift):
        y = x
        for _ in range(bits // shift + 1):
            y = x ^ (y >> shift)
        return y

    for x in [0, 1, 2, 3, 2 ** (bits - 1), 2**bits - 1, 0xDEADBEEF]:
        y = unshift(getattr(seeds, mix)(x), shifts[2])
        y = unshift(y * pow(factors[1], -1, 2**bits) % 2**bits, shifts[1])
        y = unshift(y * pow(factors[0], -1, 2**bits) % 2**bits, shifts[0])
        assert y == x


def test_too_many_tensors_or_blocks_are_rejected():
    for index, block in ((seeds.MAX_TENSORS, 0), (0, seeds.MAX_BLOCKS), (-1, 0)):
        with pytest.raises(ValueError, match=f"parameter {index}, block {block}"):
            seeds.stream_seed(0, index, block, seeds.NORMAL, "cpu")


def test_hash_seed_distinguishes_words_and_their_order():
    words = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (2**32,), (-1,), (2**32 - 1,)]
    found = {seeds.hash_seed(seed, *w) for seed in (0, 1, 2**32, -1) for w in words}
    assert len(found) == 4 * len(words)


def test_z_does_not_depend_on_order_or_shape():
    first = [draw(9, i, 1000) for i in range(4)]
    second = [draw(9, i, 1000) for i in reversed(range(4))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(noise.draw(9, 0, torch.Size([10, 100]), CPU).flatten(), first[0])


def test_z_does_not_depend_on_threads():
    numel = 3 * noise.CPU_BLOCK + 5
    before = torch.get_num_threads()
    drawn = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            z = torch.empty(numel)

            def work(block, part, z=z):
                z[part] = noise.direction(4, 2, block, part.stop - part.start, CPU)

            noise.for_blocks(numel, CPU, work)
            drawn.append(z)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*drawn)
    assert torch.equal(drawn[0], draw(4, 2, numel))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_z_does_not_depend_on_dtype(dtype):
    """In every dtype, modules compute with theta + eps z, rounded once, and z is the same."""
    model = MLP.build(dtype)
    opt = Addax(model, lr=0.0, alpha=1.0, eps=0.5)
    weights = {}
    for number, module in ((0, model[0]), (1, model[3])):

        def record(module, _inputs, number=number):
            weights.setdefault(number, module.weight.detach().clone())

        module.register_forward_pre_hook(record)
    seed = opt.step_seed()
    opt.estimate(MLP.closure(model, 0))
    for number, (index, module) in enumerate(((0, model[0]), (4, model[3]))):
        z = noise.draw(seed, index, module.weight.shape, CPU)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        assert torch.equal(weights[number], (module.weight.to(wide) + 0.5 * z.to(wide)).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
def test_an_update_in_blocks_applies_the_whole_z(dtype):
    """A step of -1 from zero gives z, rounded once. The tensor has two full blocks and a partial one."""
    theta = torch.zeros(2 * noise.CPU_BLOCK + 5, dtype=dtype)
    update(theta, 6, 0, directions=[(-1.0, 9)], rounding="nearest")
    assert torch.equal(theta, draw(9, 6, theta.numel()).to(dtype))


def signs(seed, index=0, numel=DRAWS):
    """Draw a flat z of random signs."""
    return noise.draw(seed, index, torch.Size([numel]), CPU, "rademacher")


def test_signs_are_balanced_and_uncorrelated_at_every_lag():
    z = signs(5, index=2, numel=2 * DRAWS + 3)
    assert set(z.tolist()) == {-1.0, 1.0}
    assert abs(z.mean().item()) < 6 / z.numel() ** 0.5
    first, second = z[:DRAWS], z[DRAWS : 2 * DRAWS]
    for a, b in ((first, second), (first, signs(5, index=3)), (first, signs(6, index=2))):
        lags = torch.fft.irfft(torch.fft.rfft(a) * torch.fft.rfft(b).conj(), n=DRAWS) / DRAWS
        assert lags.abs().max().item() < 7.5 / DRAWS**0.5


@pytest.mark.parametrize("kind", noise.DIRECTIONS)
def test_first_blocks_that_are_drawn_together_equal_those_drawn_alone(kind):
    """The sizes include one element, parts of a word, and sizes for which torch has two algorithms."""
    sizes = [(3, 1), (4, 15), (5, 16), (6, 64), (7, 100), (9, 4096)]
    together = noise.draw_first_blocks(11, sizes, CPU, kind)
    for (index, numel), z in zip(sizes, together, strict=True):
        assert torch.equal(z, noise.draw(11, index, torch.Size([numel]), CPU, kind))


def test_rounding_bits_of_any_two_blocks_are_uniform_and_uncorrelated():
    """All blocks of a step come from the same random words."""
    places = [(0, 0), (0, 1), (1, 0), (7, 300)]
    bits = [noise.random_bits(3, index, block, DRAWS, CPU).double() for index, block in places]
    for b in bits:
        assert 0 <= b.min() <= b.max() < 1 << 16
        counts = torch.histc(b, 64, 0, 1 << 16)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    # The correlation is random over steps: the keys of two blocks decide it for all of their elements.
    correlations = []
    for seed in range(400):
        a, b = (noise.random_bits(seed, i, 0, 1 << 12, CPU).double() / (1 << 16) - 0.5 for i in (0, 1))
        correlations.append(12 * torch.dot(a, b).item() / a.numel())
    mean = sum(correlations) / len(correlations)
    deviation = torch.tensor(correlations).std().item()
    assert abs(mean) < 5 * deviation / len(correlations) ** 0.5


ANOTHER_RANK = """
import hashlib, torch
from addax import noise
torch.manual_seed(99)
torch.set_num_threads(2)
noise.draw(8, 0, torch.Size([7]), torch.device("cpu"))
z = noise.draw(4, 2, torch.Size([600_001]), torch.device("cpu"))
print(hashlib.sha256(z.numpy().tobytes()).hexdigest())
"""


@pytest.mark.process
def test_another_process_draws_the_same_bits():
    """z does not depend on a process's global seed, number of threads, or earlier draws."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    digest = subprocess.check_output(
        [sys.executable, "-c", ANOTHER_RANK], cwd=ROOT, env=environment, text=True
    )
    assert digest.strip() == hashlib.sha256(draw(4, 2, 600_001).numpy().tobytes()).hexdigest()


def global_states():
    """Return the states of the global generators of torch, numpy, and Python."""
    return torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist(), random.getstate()


def test_global_generators_keep_their_states():
    model = TIED.build(torch.bfloat16)
    opt = Addax(model, lr=1e-3, alpha=0.5)
    before = global_states()
    for k in range(3):
        opt.step(zo_loss=TIED.closure(model, k), fo_loss=TIED.closure(model, k))
    draw(3)
    assert global_states() == before
