"""Wrappers: refuse what reduces gradients itself, such as DistributedDataParallel.

Such a wrapper averages each gradient over the processes after the backward pass has computed it. A method
that updates in place has already applied this process's gradient by then, so the processes would drift apart.
A method reduces gradients itself (`process_group`), so a wrapper is never needed.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

# The names of the wrappers' classes, so that this module imports none of their packages.
_WRAPPERS = (
    "DistributedDataParallel",  # torch, apex, Megatron
    "DistributedDataParallelBase",
    "FullyShardedDataParallel",  # torch, fairscale
    "FSDPModule",  # torch's fully_shard
    "ShardedDataParallel",
    "DataParallel",
    "DeepSpeedEngine",
    "PipelineEngine",
)


def distributed() -> bool:
    """Return whether a process group is initialized. Without one, there is nothing to reduce."""
    return dist.is_available() and dist.is_initialized()


def wrapper_of(module: object) -> str | None:
    """Return the name of the class of a wrapper, or None for other modules."""
    return next((base.__name__ for base in type(module).__mro__ if base.__name__ in _WRAPPERS), None)


def refuse_wrappers(model: nn.Module, method: str) -> None:
    """Raise `ValueError` if a model is or contains a wrapper that reduces gradients.

    Args:
        model: the model that a method is built from.
        method: the name of the method, for the error.
    """
    for name, module in model.named_modules():
        wrapper = wrapper_of(module)
        if wrapper is None and _is_replicated(module):
            wrapper = "replicate"
        if wrapper is None:
            continue
        where = f"module {name!r}" if name else "the model"
        # These two change the module itself. The other wrappers contain it.
        changed = {"FSDPModule": "fully_shard", "replicate": "replicate"}.get(wrapper)
        problem = f"was passed to {changed}" if changed else f"is a {wrapper}"
        remedy = f"omit {changed}" if changed else "use the module inside it (.module)"
        raise ValueError(
            f"{where} {problem}, which reduces gradients itself: {remedy}, and build {method} with "
            "process_group=torch.distributed.group.WORLD"
        )


def _is_replicated(module: nn.Module) -> bool:
    """Return whether torch's `replicate` was called on a module, whose class it does not change."""
    if not distributed():
        return False
    # This module cannot be imported on builds of torch without distributed support.
    from torch.distributed._composable.contract import _get_registry

    return "replicate" in (_get_registry(module) or ())


def refuse_active_wrapper(module: nn.Module) -> None:
    """Raise `ValueError` if torch's DistributedDataParallel is running a module. Call it in a forward."""
    active = DistributedDataParallel._active_ddp_module
    # After an error in its forward, the wrapper may still claim to be active.
    if active is not None and any(m is module for m in active.modules()):
        raise ValueError(_active(DistributedDataParallel.__name__, module))


def _active(wrapper: str, module: nn.Module) -> str:
    return (
        f"a closure runs {type(module).__name__} inside {wrapper}, which reduces gradients itself: call the "
        "module inside it (.module), and build the method with process_group=torch.distributed.group.WORLD"
    )


@contextmanager
def refusing_wrappers(model: nn.Module, parameters: Mapping[nn.Parameter, Any]) -> Iterator[None]:
    """Raise `ValueError` if a closure runs parts of a model inside a wrapper. Do nothing in a single process.

    Args:
        model: the model.
        parameters: the trainable parameters. Modules without any of them are not watched.
    """
    if not distributed():
        yield
        return
    first = True

    def before(module: nn.Module, _inputs: Any) -> None:
        nonlocal first
        refuse_active_wrapper(module)
        if first:
            # Other wrappers leave no mark while they run, except that they are on the stack.
            first = False
            for wrapper in _wrappers_on_the_stack():
                raise ValueError(_active(wrapper, module))

    owners = [m for m in model.modules() if any(p in parameters for p in m.parameters(recurse=False))]
    handles = [m.register_forward_pre_hook(before, prepend=True) for m in owners]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _wrappers_on_the_stack() -> Iterator[str]:
    frame = sys._getframe()
    # `addax.closures` calls the closure.
    while frame is not None and frame.f_globals.get("__name__") != "addax.closures":
        # Every wrapper calls the module in its forward, whose first argument is the wrapper.
        if frame.f_code.co_varnames[:1] == ("self",):
            wrapper = wrapper_of(frame.f_locals.get("self"))
            if wrapper is not None:
                yield wrapper
        frame = frame.f_back


def refuse_gradient_hooks(names: Mapping[nn.Parameter, str]) -> None:
    """Raise `ValueError` if other code has hooks on gradients that a first-order step would race with.

    A post-accumulate-grad hook may use up a gradient (an optimizer inside the backward pass) or start to
    reduce it. With several processes, a hook of `Tensor.register_hook` may reduce it, too.
    """
    several = distributed() and dist.get_world_size() > 1
    for p, name in names.items():
        hooks = list(_functions(p._post_accumulate_grad_hooks))
        if several:
            hooks += _functions(p._backward_hooks)
        if hooks:
            raise ValueError(
                f"parameter {name!r} has a gradient hook ({_name(hooks[0])}), which may reduce or use up its "
                "gradient before the step applies it: remove the hook, and pass process_group to average "
                "gradients"
            )


def _functions(hooks: Mapping[int, Callable] | None) -> Iterable[Callable]:
    return hooks.values() if hooks else ()


def _name(function: Callable) -> str:
    function = getattr(function, "func", function)
    return getattr(function, "__qualname__", type(function).__name__)
