"""Contexts in which weights cannot be swapped: other threads, transforms of torch.func, compiled callers."""

import threading

import torch

#: The message of the error that a function raises if torch compiles it while it calls the model.
TRACED = "torch.compile traces a function that calls the model"


class CompiledOutside(RuntimeError):
    """A function that torch compiled calls the model, so that the model's hooks do not run."""


def check_context(what: str, thread: int) -> None:
    """Reject calls that would silently perturb the wrong weights or read freed memory.

    Args:
        what: the module or the operator that runs.
        thread: the thread that evaluates the closure.

    Raises:
        ValueError: if weights cannot be swapped here.
        CompiledOutside: if they can be swapped only before the evaluation.
    """
    if threading.get_ident() != thread:
        raise ValueError(
            f"zo_loss runs {what} in a different thread, where weights cannot be swapped: run the model in "
            "the thread that calls step"
        )
    if torch._C._functorch.maybe_current_level() is not None:
        raise ValueError(
            f"zo_loss runs {what} inside a torch.func transform (grad, jvp, vmap, ...), where weights cannot "
            "be swapped: use torch.autograd or batched operators instead"
        )
    if torch._C._dynamo.eval_frame.get_eval_frame_callback() is not None:
        raise CompiledOutside(f"torch.compile runs {what}")


def is_compiled_outside(error: BaseException | None) -> bool:
    """Return whether an evaluation failed because a compiled function calls the model from outside."""
    while error is not None:
        if isinstance(error, CompiledOutside) or type(error).__module__ == "torch._dynamo.exc":
            return True
        error = error.__cause__
    return False
