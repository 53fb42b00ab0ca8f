"""The effect of 16-bit weights on a step, with our arithmetic and with the released one.

    drift             = ||theta_N - theta_0|| / ||theta_0||
    realized fraction = <theta_after - theta_before, z> / <-c z, z>

Drift is measured after N steps of MeZO with a learning rate of zero and eps = 1e-3. The realized fraction is
measured for one update c z with c = lr x projected_grad, as a mean over directions. Both are measured on
synthetic weights, N(0, 0.02^2), and on a sample of SmolLM2-135M's weights. Neither needs a forward pass.
"""

import argparse
from collections.abc import Callable, Iterator
from statistics import mean, stdev

import torch
from torch import Tensor, nn

from addax import noise, released
from addax.rounding import HALF
from addax.small_tensors import KeptNoise
from addax.update import Step, apply_update
from baselines.mezo import MeZO
from benchmarks import models
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies import Study
from benchmarks.studies._precision_tables import precision_table

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
EPS = 1e-3
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
# Drift is a root mean square over independent random walks; 2^18 of them determine it to 0.14 %.
DRIFTING = 1 << 18
SIZES = tuple(float(f"{10 ** (k / 2):.3g}") for k in range(-16, -3))
WEIGHTS = 1 << 20
# Fewer directions would not determine the standard error of their mean.
FEWEST_DIRECTIONS = 16
# Minimum of c x weights x directions for 16-bit weights. It gives the smallest steps a standard error of 1 %
# (float16) to 3 % (bfloat16).
LENGTH = 3.0
STD = 0.02
REAL = "smollm2-135m"


class Still(nn.Module):
    """A module whose loss does not depend on its weights, so that a MeZO step only perturbs them."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self) -> Tensor:
        """Return a loss of zero, so that projected_grad and the step are zero."""
        return torch.zeros(())


def synthetic(count: int) -> Tensor:
    """Return normal weights with a typical scale, float32 of shape (count,)."""
    return torch.randn(count, generator=torch.Generator().manual_seed(0)) * STD


def real(count: int) -> tuple[Tensor, int]:
    """Return `count` random weights of SmolLM2-135M in float32, and its total number of weights."""
    loaded = models.load(REAL, dtype=torch.float32, device="cpu", head="lm")
    every = torch.cat([p.detach().view(-1) for p in loaded.model.parameters()])
    chosen = torch.randint(len(every), (count,), generator=torch.Generator().manual_seed(0))
    return every[chosen], len(every)


def drifts(weight: Tensor, arithmetic: str) -> Iterator[tuple[int, float]]:
    """Yield (N, relative drift after N steps) for N in `STEPS`, in the dtype of `weight`."""
    model = Still(weight.clone())
    opt = MeZO(model, lr=0.0, eps=EPS, arithmetic=arithmetic)
    start = weight.double()
    for step in range(1, max(STEPS) + 1):
        opt.step(zo_loss=model)
        if step in STEPS:
            yield step, float((model.weight.detach().double() - start).norm() / start.norm())


def update_functions(
    dtype: torch.dtype,
) -> dict[tuple[str, str | None], Callable[[nn.Parameter, float, int], None]]:
    """Map (arithmetic, rounding) to a function that takes the step -c z(seed).

    Rounding is None if the arithmetic has no such setting, or the dtype has more than 16 bits.
    """

    def published(theta: nn.Parameter, size: float, seed: int) -> None:
        released.apply_step(
            [(theta, 0, size)],
            Step(seed, draws=KeptNoise({theta: 0}, "normal")),
            names={theta: "weight"},
            directions=[(1.0, torch.tensor(1.0), seed)],
        )

    def ours(rounding: str) -> Callable[[nn.Parameter, float, int], None]:
        def update(theta: nn.Parameter, size: float, seed: int) -> None:
            draws = KeptNoise({theta: 0}, "normal")
            apply_update(theta, 0, Step(seed, [(size, seed)], draws=draws, rounding=rounding))

        return update

    if dtype not in HALF:
        return {("released", None): published, ("exact", None): ours("nearest")}
    return {("released", None): published} | {("exact", r): ours(r) for r in ("nearest", "stochastic")}


def fractions(weight: Tensor, size: float) -> Iterator[tuple[str, str | None, list[float]]]:
    """Yield (arithmetic, rounding, realized fractions by direction) of a step of `size`."""
    directions = FEWEST_DIRECTIONS
    if weight.dtype in HALF:
        directions = max(directions, round(LENGTH / (size * weight.numel())))
    found = {key: [] for key in update_functions(weight.dtype)}
    before = weight.float()
    for seed in range(directions):
        z = noise.draw(seed, 0, weight.shape, CPU)
        intended = -size * float(torch.dot(z, z))
        for key, update in update_functions(weight.dtype).items():
            theta = nn.Parameter(weight.clone())
            update(theta, size, seed)
            found[key].append(float(torch.dot(theta.detach().float() - before, z)) / intended)
    for (arithmetic, rounding), each in found.items():
        yield arithmetic, rounding, each


def measure_weights(
    name: str, weight: Tensor, population: int | None, say: Callable[[str], None]
) -> list[dict]:
    """Return all rows of one set of weights.

    Args:
        name: name of the weights in the rows.
        weight: the weights in random order, float32 of shape (n,).
        population: number of weights that the sample was drawn from; None for synthetic weights.
        say: prints a line of progress.
    """
    rows = []
    for dtype in DTYPES:
        common = {
            "weights": name,
            "population": population,
            "dtype": str(dtype).removeprefix("torch."),
            **provenance_fields("cpu"),
        }
        typed = weight.to(dtype)
        for arithmetic in ("released", "exact"):
            say(f"{name}, {common['dtype']}: drift, {arithmetic}")
            shared = common | {"measure": "drift", "arithmetic": arithmetic, "count": DRIFTING, "eps": EPS}
            rows += [
                shared | {"steps": steps, "drift": drift}
                for steps, drift in drifts(typed[:DRIFTING], arithmetic)
            ]
        say(f"{name}, {common['dtype']}: realized fraction")
        for size in SIZES:
            rows += [
                common
                | {
                    "measure": "fraction",
                    "arithmetic": arithmetic,
                    "rounding": rounding,
                    "count": typed.numel(),
                    "size": size,
                    "directions": len(each),
                    "fraction": mean(each),
                    "standard_error": stdev(each) / len(each) ** 0.5,
                }
                for arithmetic, rounding, each in fractions(typed, size)
            ]
    return rows


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> list[dict]:
    """Return all rows, for synthetic weights and for weights of SmolLM2-135M."""
    weight, population = real(WEIGHTS)
    rows = measure_weights("synthetic", synthetic(WEIGHTS), None, say)
    return rows + measure_weights(REAL, weight, population, say)


STUDY = Study(measure, precision_table, figures=("precision",))
