"""Closures: what `step` accepts, and the checks around each evaluation of a loss.

A method evaluates closures and back-propagates itself. Code for other optimizers passes one closure by
position, which may call `backward` itself, or wraps the call in a GradScaler. Such a call either works or
raises an error that names the correct one, before a parameter moves.
"""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from addax.validation import check_unchanged
from addax.wrappers import distributed, refuse_gradient_hooks, refuse_wrappers, refusing_wrappers

if TYPE_CHECKING:
    from addax.optimizer import Loss, Method


def checked_step(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method's `step` that also takes one closure by position, and that checks every call first.

    Raises:
        TypeError: by the step, if a closure is not a function.
        ValueError: by the step, if no closure or an unknown one is given (the message names the known ones);
            if a parameter was added, replaced, removed, or moved since the method was built; if a group has
            a setting that the step would ignore; or if a wrapper or a hook may reduce gradients.
    """

    @functools.wraps(step)
    def checked(method: "Method", closure: "Loss | None" = None, **losses: "Loss | None") -> Any:
        if all(loss is None for loss in (closure, *losses.values())) and asks_for_state(method):
            method.publish_state()
            return None
        refuse_grad_scaler(method)
        given = losses_of(method, closure, losses)
        if distributed():
            refuse_wrappers(method.model, type(method).__name__)
        check_unchanged(method.model, method.names, method.placements)
        method.check_groups(method.indices, method.names)
        if "fo_loss" in given:
            refuse_gradient_hooks(method.names)
        checked_losses = {name: checked_loss(method, name, loss) for name, loss in given.items()}
        # State that is created in inference mode could not be changed outside of it.
        inside = torch.is_inference_mode_enabled()
        with torch.inference_mode(False) if inside else nullcontext():
            return step(method, **checked_losses)

    return checked


def losses_of(method: "Method", closure: object, given: Mapping[str, Any]) -> dict[str, "Loss"]:
    """Return the closures of a step by name.

    Args:
        method: the method.
        closure: the positional argument of `step`. It is the loss of a method with one loss. Next to named
            losses, it must return None (Lightning passes such a closure to run its callbacks).
        given: the named arguments of `step`; None if a loss was not passed.

    Raises:
        TypeError: if a closure is not a function.
        ValueError: if a closure is unknown, missing, or ambiguous.
    """
    name = type(method).__name__
    losses = {key: loss for key, loss in given.items() if loss is not None}
    for key in losses:
        if key not in method.closures:
            raise ValueError(f"{name} does not take {key}: pass {' and '.join(method.closures)}")
    for key, loss in (("closure", closure), *losses.items()):
        if loss is not None and not callable(loss):
            raise TypeError(
                f"{key} must be a function that returns the loss, not {type(loss).__name__}: pass "
                f"{key}=lambda: ..., which computes the loss"
            )
    if closure is None:
        if not losses:
            raise ValueError(
                f"{name}.step got no loss closure: pass {' and '.join(method.closures)}, functions that "
                "return a loss (with transformers.Trainer, use addax.hf_trainer.AddaxTrainer)"
            )
        return losses
    if losses:
        if closure() is not None:
            raise ValueError(
                f"{name}.step got a closure that returns a value and also {' and '.join(losses)}: pass only "
                "the named losses"
            )
        return losses
    needed = method.next_closures()
    if len(needed) > 1 or method.step_kinds > 1:
        raise ValueError(
            f"{name} cannot tell which loss a single closure returns: call opt.step({_call(method)}) (in "
            "Lightning, with automatic_optimization = False; with accelerate, call opt.optimizer.step)"
        )
    return {needed[0]: closure}


def _call(method: "Method") -> str:
    return ", ".join(f"{name}=..." for name in method.closures)


def refuse_grad_scaler(method: "Method") -> None:
    """Raise `ValueError` if an enabled GradScaler calls `step`."""
    # The scaler sets these attributes before it calls a step, and deletes them afterward.
    found = [name for name in ("grad_scale", "found_inf") if vars(method).pop(name, None) is not None]
    if found:
        name = type(method).__name__
        raise ValueError(
            f"a GradScaler called {name}.step, but {name} scales float16 losses itself: call opt.step "
            "without the scaler, and do not scale the loss"
        )


def checked_loss(method: "Method", name: str, loss: "Loss") -> "Loss":
    """Return a closure that raises `ValueError` if the given one back-propagates or runs a wrapper.

    Args:
        method: the method.
        name: the name of the loss, for errors.
        loss: the closure.
    """

    def evaluate() -> Any:
        before = _with_gradient(method.indices)
        reached: list[nn.Parameter] = []
        # A zeroth-order loss may call backward if it then drops the gradients.
        watched = method.indices if name == "fo_loss" else ()
        handles = [p.register_post_accumulate_grad_hook(reached.append) for p in watched]
        try:
            with refusing_wrappers(method.model, method.indices):
                value = loss()
            called = bool(reached) and isinstance(value, Tensor) and _freed(value)
            cause = None
        except (RuntimeError, ValueError) as error:
            # Without gradients, the backward pass of a zeroth-order loss fails.
            called = name != "fo_loss" and _in_backward(error)
            cause = error
            if not called or isinstance(error, torch.OutOfMemoryError):
                raise
        finally:
            for handle in handles:
                handle.remove()
        for p in _with_gradient(method.indices):
            if all(p is not other for other in before):
                p.grad, called = None, True
        if called:
            raise ValueError(
                f"{name} calls backward itself: return the loss without calling backward, because the step "
                "does what is needed (in Lightning, set automatic_optimization = False)"
            ) from cause
        return value

    return evaluate


def _with_gradient(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    # While a zeroth-order loss is evaluated, parameters have a class that slows down their attributes.
    with torch._C.DisableTorchFunctionSubclass():
        return [p for p in parameters if p.grad is not None]


def _in_backward(error: Exception) -> bool:
    """Return whether an error was raised inside `Tensor.backward`."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is inspect.unwrap(Tensor.backward).__code__ for frame, _ in frames)


def _freed(loss: Tensor) -> bool:
    """Return whether a backward pass has freed the graph of a loss."""
    todo, seen = [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        try:
            for attribute in dir(node):
                if attribute.startswith("_saved_") or attribute == "saved_tensors":
                    getattr(node, attribute)
        except RuntimeError:
            return True
        todo += [parent for parent, _ in node.next_functions]
    return False


def asks_for_state(method: torch.optim.Optimizer) -> bool:
    """Return whether a step without a loss asks an optimizer to allocate its state.

    `torch.distributed.checkpoint` takes such a step before it reads or loads a state: every learning rate is
    zero, and every gradient exists and is zero.
    """
    parameters = [p for group in method.param_groups for p in group["params"]]
    return (
        not method.state
        and all(group["lr"] == 0 for group in method.param_groups)
        and all(p.grad is not None for p in parameters)
        and not any(bool(p.grad.any()) for p in parameters)
    )
