"""The state of a run: everything that its next step depends on, as a checkpoint stores it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from addax.optimizer import Method
from benchmarks.training.counters import RunCounters


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the trainable parameters, by their names in the model's state, without copying them."""
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    return {n: t.detach() for n, t in model.state_dict().items() if n in trained}


def copy_weights(model: nn.Module, into: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Copy the trainable parameters to the CPU, into the tensors of an earlier copy if there is one."""
    weights = trained_weights(model)
    into = into or {n: torch.empty_like(t, device="cpu") for n, t in weights.items()}
    for name, copied in into.items():
        copied.copy_(weights[name])
    return into


def state_of(
    model: nn.Module, optimizer: Method, scheduler: LRScheduler, counters: RunCounters
) -> dict[str, Any]:
    """Return everything that the next step depends on, without copying tensors."""
    return {
        "weights": trained_weights(model),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "generators": [(str(device), state) for device, state in _generator_states(optimizer)],
        "counters": counters.state(),
    }


def load_state(state: Mapping[str, Any], model: nn.Module, optimizer: Method, scheduler: LRScheduler) -> None:
    """Restore the state that `state_of` returned, except for the counters."""
    model.load_state_dict(state["weights"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    for name, generator_state in state["generators"]:
        device = torch.device(name)
        if device.type == "cpu":
            torch.set_rng_state(generator_state)
        else:
            torch.cuda.set_rng_state(generator_state, device)


def _generator_states(optimizer: Method) -> list[tuple[torch.device, Tensor]]:
    """Return the states of the default generators of the CPU and of every CUDA device with parameters."""
    states = [(torch.device("cpu"), torch.get_rng_state())]
    cuda = sorted({p.device.index for p in optimizer.indices if p.device.type == "cuda"})
    return states + [(torch.device("cuda", i), torch.cuda.get_rng_state(i)) for i in cuda]
