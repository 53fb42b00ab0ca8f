"""The state of a run: everything that its next step depends on, as a checkpoint stores it."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from addax.optimizer import Method
from benchmarks.training.counters import RunCounters


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the trainable parameters and the persistent buffers, without copying them.

    Some buffers change in training, such as the statistics of batch normalization. A tensor that the model's
    state holds under several names is returned once.
    """
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    names.update(n for n, _ in model.named_buffers())
    return {n: t.detach() for n, t in model.state_dict().items() if n in names}


def load_weights(weights: Mapping[str, Tensor], model: nn.Module) -> None:
    """Copy weights that `weights_of` returned into the model.

    Raises:
        ValueError, RuntimeError: they are not those of this model.
    """
    if weights.keys() != (own := weights_of(model)).keys():
        different = sorted(weights.keys() ^ own.keys())
        raise ValueError(f"the weights of another model: {different[0]} is in only one of them")
    model.load_state_dict(weights, strict=False)


def copy_weights(model: nn.Module, into: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Copy the weights to the CPU, into the tensors of an earlier copy if there is one."""
    weights = weights_of(model)
    into = into or _host_buffers(weights)
    for name, buffer in into.items():
        buffer.copy_(weights[name], non_blocking=True)
    for gpu in {t.device for t in weights.values() if t.device.type == "cuda"}:
        torch.cuda.current_stream(gpu).synchronize()
    return into


def _host_buffers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return uninitialized tensors on the CPU, one for each weight; for weights on a GPU, pinned ones.

    A GPU writes into pinned memory directly, several times faster than into other memory. If the system pins
    no more, a warning says so, and the other buffers are ordinary memory.
    """
    buffers, pins = {}, True
    for name, t in weights.items():
        pin = pins and t.device.type == "cuda"
        try:
            buffers[name] = torch.empty_like(t, device="cpu", pin_memory=pin)
        except RuntimeError as error:
            if not pin:
                raise
            pins, reason = False, str(error).splitlines()[0]
            pinned, total = (sum(t.nbytes for t in ts.values()) / 1e9 for ts in (buffers, weights))
            warnings.warn(
                f"pinned only {pinned:.1f} of {total:.1f} GB for the best weights, so copying them takes "
                f"longer: {reason}",
                stacklevel=2,
            )
            buffers[name] = torch.empty_like(t, device="cpu")
    return buffers


def state_of(
    model: nn.Module, optimizer: Method, scheduler: LRScheduler, counters: RunCounters
) -> dict[str, Any]:
    """Return everything that the next step depends on, without copying tensors."""
    return {
        "weights": weights_of(model),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "generators": [(str(device), state) for device, state in _generator_states(model)],
        "counters": counters.state(),
    }


def load_state(state: Mapping[str, Any], model: nn.Module, optimizer: Method, scheduler: LRScheduler) -> None:
    """Restore the state that `state_of` returned, except for the counters.

    If its weights are None, the model keeps its weights.
    """
    if state["weights"] is not None:
        load_weights(state["weights"], model)
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    for name, generator_state in state["generators"]:
        device = torch.device(name)
        if device.type == "cpu":
            torch.set_rng_state(generator_state)
        else:
            torch.cuda.set_rng_state(generator_state, device)


def _generator_states(model: nn.Module) -> list[tuple[torch.device, Tensor]]:
    """Return the states of the default generators of the CPU and of every CUDA device with parameters."""
    states = [(torch.device("cpu"), torch.get_rng_state())]
    cuda = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    return states + [(torch.device("cuda", i), torch.cuda.get_rng_state(i)) for i in cuda]
