"""All that the next step of a run depends on, as a checkpoint holds it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._pytree import tree_leaves

from addax.optimizer import Method
from addax.spsa import generator_states, set_generator_states
from benchmarks.training.counters import Tally


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters under their names in the model's state; not copies."""
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    return {n: t.detach() for n, t in model.state_dict().items() if n in trained}


def copy_weights(model: nn.Module, into: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """The trainable parameters on the CPU, in tensors made before where there are any."""
    weights = weights_of(model)
    into = into or {n: torch.empty_like(t, device="cpu") for n, t in weights.items()}
    for name, held in into.items():
        held.copy_(weights[name])
    return into


def state_of(model: nn.Module, optimizer: Method, scheduler: LRScheduler, tally: Tally) -> dict[str, Any]:
    """The state after a step, to be written at once: nothing is copied."""
    return {
        "weights": weights_of(model),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "generators": [(str(d), state) for d, state in generator_states(optimizer.indices)],
        "tally": vars(tally).copy(),
    }


def restore(state: dict[str, Any], model: nn.Module, optimizer: Method, scheduler: LRScheduler) -> None:
    """Puts a state back, all but its tally."""
    model.load_state_dict(state["weights"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    set_generator_states([(torch.device(name), held) for name, held in state["generators"]])


def sizes_of(model: nn.Module, optimizer: Method) -> tuple[int, int]:
    """Bytes of a state, and of the weights in it."""
    weights = sum(t.nbytes for t in weights_of(model).values())
    held = [t for t in tree_leaves(optimizer.state_dict()) if isinstance(t, Tensor)]
    return weights + sum(t.nbytes for t in held), weights
