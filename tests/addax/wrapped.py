"""The program that each rank of `test_wrappers.py` runs: methods and wrappers that reduce gradients.

Usage: python -m torch.distributed.run --standalone --nproc-per-node 2 tests/addax/wrapped.py FOLDER
"""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import nn
from torch.distributed._composable.replicate import replicate
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from benchmarks.registry import files
from tests.baselines.test_methods import class_of
from tests.numerics.oracle import MLP, bits

CPU = torch.device("cpu")


class DeepSpeedEngine(nn.Module):
    """A stand-in for DeepSpeed's engine: it runs a module, whose gradients it would reduce later."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run the module."""
        return self.module(*inputs, **kwargs)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DistributedDataParallel": DistributedDataParallel,
    "accelerate": lambda model: Accelerator(cpu=True).prepare(model),
    "DataParallel": nn.DataParallel,
    "FullyShardedDataParallel": partial(FullyShardedDataParallel, device_id=CPU),
    "FullyShardedDataParallel, original parameters": partial(
        FullyShardedDataParallel, device_id=CPU, use_orig_params=True
    ),
    "fully_shard": lambda model: fully_shard(model, mesh=init_device_mesh("cpu", (2,))),
    "replicate": replicate,
    "DeepSpeedEngine": DeepSpeedEngine,
}
PLACES = ("around the model", "around its module", "around the closure")


def outcome(method: str, wrapper: str, place: str, group: dist.ProcessGroup | None) -> str:
    """Return the error of building a method or of taking a step."""
    cls = class_of(method)
    model = MLP.build(torch.float32)
    try:
        if place == "around the closure":
            opt = cls(model, lr=0.1, process_group=group)
            called = WRAPPERS[wrapper](model)
        else:
            called = WRAPPERS[wrapper](model)
            inner = called if place == "around the model" else getattr(called, "module", called)
            opt = cls(inner, lr=0.1, process_group=group)
        opt.step(**dict.fromkeys(opt.closures, MLP.closure(called, dist.get_rank())))
    except ValueError as error:
        return str(error)
    return "no error"


def trajectories(group: dist.ProcessGroup) -> dict[str, list[bytes]]:
    """Return the parameters after three steps of the module inside a wrapper, with a process group."""
    ends = {}
    for method in files("method"):
        model = MLP.build(torch.float32)
        wrapper = DistributedDataParallel(model)
        opt = class_of(method)(wrapper.module, lr=0.1, process_group=group)
        for k in range(3):
            opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, 10 * k + dist.get_rank())))
        ends[method] = bits(model)
    return ends


def hooked(register: str) -> str:
    """Return the error of a first-order step if a hook reduces gradients."""
    model = MLP.build(torch.float32)
    getattr(model[0].weight, register)(lambda tensor: None)
    try:
        class_of("ip-sgd")(model, lr=0.1).step(fo_loss=MLP.closure(model, 0))
    except ValueError as error:
        return str(error)
    return "no error"


def warned(build: Callable[[], Any]) -> list[tuple[str, str]]:
    """Return the text and the file of each warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build()
    return [(str(w.message), w.filename) for w in caught]


def main(folder: Path) -> None:
    """Run all cases and save the results."""

    def build(**options: Any) -> Any:
        return class_of("addax")(MLP.build(torch.float32), lr=0.1, **options)

    early = warned(build)
    dist.init_process_group("gloo")
    group = dist.group.WORLD
    found: dict[str, Any] = {
        "warned early": early,
        "warned later": warned(build),
        "not warned": warned(partial(build, process_group=group)),
        "trajectories": trajectories(group),
        "hooks": {name: hooked(name) for name in ("register_hook", "register_post_accumulate_grad_hook")},
    }
    warnings.simplefilter("ignore")
    for wrapper in WRAPPERS:
        for place in PLACES:
            for method in files("method"):
                for given in (None, group):
                    case = (wrapper, place, method, given is not None)
                    found[case] = outcome(method, wrapper, place, given)
    torch.save(found, folder / f"{dist.get_rank()}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
