"""The program that each rank of `test_distributed.py` runs: cases under torchrun, whose results it saves.

Usage: python -m torch.distributed.run --standalone --nproc-per-node 2 tests/addax/ranks.py FOLDER EXAMPLE
"""

import io
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from addax.distributed import mean_over_ranks
from addax.optimizer import Loss, Method
from benchmarks.registry import files, module
from tests.numerics.oracle import DTYPES, MLP, TIED, bits, generator, upcast

WORLD = 2
ROWS = 8
STEPS = 4
RATES = {"adam": 1e-3, "mezo": 1e-3, "mezo-svrg": 3e-3}
PROBLEMS = {"mlp": MLP, "tied": TIED}
RELEASED = ("addax", "mezo")


def build(method: str, model: nn.Module, **options: Any) -> Method:
    """Build a method whose learning rate changes the model in a few steps within the linear range."""
    file = module("method", method)
    cls = next(c for c in vars(file).values() if isinstance(c, type) and c.__module__ == file.__name__)
    if method == "addax":
        options |= {"alpha": 0.5}
    if "zo_loss" in cls.closures:
        options |= {"eps": 1e-2}
    return cls(model, RATES.get(method, 1e-2), **options)


def loss(problem: str, model: nn.Module, batch: int, part: slice) -> Tensor:
    """Return the mean loss of some rows of a batch of `ROWS`."""
    draws = generator(300 + batch)
    x = torch.randn(ROWS, 5, generator=draws, dtype=torch.float64)
    y = torch.randint(0, 3, (ROWS,), generator=draws)
    ids = torch.randint(0, 11, (ROWS, 7), generator=draws)
    if problem == "mlp":
        return F.cross_entropy(upcast(model(x[part].to(next(model.parameters()).dtype))), y[part])
    return F.cross_entropy(upcast(model(ids[part])[:, :-1]).flatten(0, 1), ids[part, 1:].flatten())


def closure(model: nn.Module, part: slice, problem: str = "mlp", batch: int = 0, factor: float = 1.0) -> Loss:
    """Return a loss closure. A factor can make the loss invalid."""
    return lambda: loss(problem, model, batch, part) * factor


def steps(
    opt: Method, problem: str, model: nn.Module, part: slice, first: int = 0, number: int = STEPS
) -> list[list[bytes]]:
    """Take steps, each closure on a different batch, and return the parameters' bits after each step."""
    seen = []
    for k in range(first, first + number):
        opt.step(**{name: closure(model, part, problem, 10 * k + j) for j, name in enumerate(opt.closures)})
        seen.append(bits(model))
    return seen


def error_of(method: str, model: nn.Module, group: dist.ProcessGroup, **options: Any) -> str:
    """Return the error message of a method's constructor, or "no error"."""
    try:
        build(method, model, process_group=group, **options)
    except ValueError as error:
        return str(error)
    return "no error"


class Reduced:
    """A recorder of all-reduces: the shape of each, and how many parameters had changed before it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.before = bits(model)
        self.calls: list[tuple[tuple[int, ...], int]] = []
        self.reduce = dist.all_reduce

    def __call__(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Record an all-reduce and run it."""
        moved = sum(a != b for a, b in zip(bits(self.model), self.before, strict=True))
        self.calls.append((tuple(tensor.shape), moved))
        return self.reduce(tensor, *args, **kwargs)

    def __enter__(self) -> "Reduced":
        dist.all_reduce = self
        return self

    def __exit__(self, *_: object) -> None:
        dist.all_reduce = self.reduce


def trajectories(group: dist.ProcessGroup, part: slice) -> dict[Any, Any]:
    """Return the bits after each step and the loss scale, for every method, problem, and dtype."""
    out = {}
    variants = [(m, {}) for m in files("method")] + [(m, {"arithmetic": "released"}) for m in RELEASED]
    for method, options in variants:
        for name, problem in PROBLEMS.items():
            for dtype in DTYPES:
                model = problem.build(dtype)
                opt = build(method, model, process_group=group, **options)
                seen = [bits(model), *steps(opt, name, model, part)]
                out[method, *options.values(), name, dtype] = (seen, opt.loss_scale.scale)
    return out


def not_finite(group: dist.ProcessGroup, part: slice) -> dict[Any, Any]:
    """Give the last rank a non-finite loss, then take good steps. Return the outcome and the final bits."""
    out = {}
    for method in files("method"):
        for dtype in DTYPES:
            for bad in build(method, MLP.build(dtype)).closures:
                model = MLP.build(dtype)
                opt = build(method, model, process_group=group)
                good = dict.fromkeys(opt.closures, closure(model, part))
                if method == "mezo-svrg":
                    opt.anchor_every = 1 if bad == "full_loss" else 10
                    opt.step(**good)
                before = bits(model)
                factor = float("nan") if dist.get_rank() == WORLD - 1 else 1.0
                stats = opt.step(**good | {bad: closure(model, part, factor=factor)})
                unchanged = bits(model) == before
                # In float16, the first steps may overflow until the scale is low enough.
                for _ in range(4):
                    opt.step(**good)
                found = (bool(stats.skipped), int(opt.skipped_steps), unchanged, bits(model) != before)
                out[method, dtype, bad] = (found, bits(model))
    return out


def overflow(group: dist.ProcessGroup, part: slice) -> dict[Any, Any]:
    """Make float16 gradients overflow on the last rank only. Return (bits, scale, overflows)."""
    out = {}
    for method in files("method"):
        if "fo_loss" not in build(method, MLP.build(torch.float16)).closures:
            continue
        model = MLP.build(torch.float16)
        opt = build(method, model, process_group=group)
        factor = 1e4 if dist.get_rank() == WORLD - 1 else 1.0
        opt.step(fo_loss=closure(model, part, factor=factor))
        scale = opt.loss_scale
        out[method] = (bits(model), float(scale.scale), int(scale.overflows))
    return out


def rejections(group: dist.ProcessGroup) -> dict[str, str]:
    """Return the error messages of constructors that must fail, by case."""
    rank = dist.get_rank()
    out = {"seed": error_of("mezo", MLP.build(torch.float32), group, seed=rank)}
    for method in files("method"):
        model = MLP.build(torch.float32)
        model[3].bias.data[2] += rank * 2**-20
        model[3].weight.data[0] += rank * 2**-20
        out[method] = error_of(method, model, group)
    model = MLP.build(torch.bfloat16)
    model[2].requires_grad_(False)
    order = [0, 1] if rank == 0 else [1, 0]
    model[2].bias.data[:2] = torch.tensor([1.0, 2.0])[order]
    out["frozen, exchanged elements"] = error_of("mezo", model, group)
    model = MLP.build(torch.float32)
    model[2].requires_grad_(rank == 0)
    out["trainable on one rank"] = error_of("mezo", model, group)
    model = MLP.build(torch.float32)
    if rank == 1:
        model.extra = nn.Linear(1, 1)
    out["one more"] = error_of("mezo", model, group)
    alone = dist.new_group([0])
    out["no member"] = error_of("mezo", MLP.build(torch.float32), alone)
    return out


def resumed(group: dist.ProcessGroup, part: slice) -> dict[Any, Any]:
    """Return the bits of an uninterrupted run and of a run that was saved and resumed halfway."""
    out = {}
    for method in files("method"):
        for dtype in DTYPES:
            whole, half = TIED.build(dtype), TIED.build(dtype)
            steps(build(method, whole, process_group=group), "tied", whole, part, 0, 6)
            opt = build(method, half, process_group=group)
            steps(opt, "tied", half, part, 0, 3)
            file = io.BytesIO()
            torch.save((half.state_dict(), opt.state_dict()), file)
            file.seek(0)
            weights, state = torch.load(file, weights_only=True)
            other = TIED.build(dtype)
            opt = build(method, other, process_group=group)
            other.load_state_dict(weights)
            opt.load_state_dict(state)
            steps(opt, "tied", other, part, 3, 3)
            out[method, dtype] = (bits(whole), bits(other))
    return out


def collectives(group: dist.ProcessGroup, part: slice) -> dict[str, list]:
    """Return the all-reduces of one step of each method."""
    out = {}
    for method in files("method"):
        model = MLP.build(torch.float32)
        opt = build(method, model, process_group=group)
        with Reduced(model) as reduced:
            steps(opt, "mlp", model, part, number=1)
        out[method] = reduced.calls
    return out


def shared_memory(group: dist.ProcessGroup) -> tuple[list[float], list[float]]:
    """Take a step in which one gradient's memory is still read to compute the other gradient."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))

        def forward(self) -> Tensor:
            r = dist.get_rank() + 1
            return (1 + (self.b * r).view(2, 2) + self.a.view(2, 2)).pow(2).sum() / 2 * r

    model = Sum()
    build("ip-sgd", model, process_group=group).step(fo_loss=model)
    return model.a.tolist(), model.b.tolist()


def main(folder: Path, example: str) -> None:
    """Run the documented example, which starts the process group, then all cases, and save the results."""
    names: dict[str, Any] = {}
    exec(compile(example, "training.md", "exec"), names)
    group = dist.group.WORLD
    rank = dist.get_rank()
    part = slice(rank * ROWS // WORLD, (rank + 1) * ROWS // WORLD)
    found = {
        "example": (float(names["stats"].loss), bits(names["model"])),
        "trajectories": trajectories(group, part),
        "not finite": not_finite(group, part),
        "overflow": overflow(group, part),
        "rejections": rejections(group),
        "resumed": resumed(group, part),
        "collectives": collectives(group, part),
        "shared memory": shared_memory(group),
        "mean": mean_over_ranks(torch.tensor([6e4, rank / 1024], dtype=torch.float16), group),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8"))
