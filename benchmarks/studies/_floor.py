"""The floor of a MeZO step with normals: three draws of z and three passes over theta, and nothing else."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from addax import noise

# Too small to change a weight.
SCALE = 1e-30


class Floor:
    """Draws z three times: twice to write theta + scale z into scratch memory, and once to update theta.

    Every thread has preallocated memory for one block of z and one block of weights. All blocks of the model
    are one list of jobs, which torch's threads share, so that no thread waits at the end of a tensor.

    Args:
        model: the model, whose trainable parameters are on one device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._threads: ThreadPoolExecutor | None = None
        self._memory = threading.local()

    def __call__(self, _batch: object = None) -> None:
        """Take the three passes."""
        for in_place in (False, False, True):
            self._pass(in_place)

    def _pass(self, in_place: bool) -> None:
        def visit(part: Tensor) -> None:
            self._visit(part, in_place)

        threads = torch.get_num_threads()
        if threads == 1 or not noise.on_cpu(next(self.model.parameters()).device):
            for part in self._parts():
                visit(part)
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(threads, thread_name_prefix="addax-floor")
        list(self._threads.map(visit, self._parts()))

    def _parts(self) -> Iterator[Tensor]:
        # A view that outlives the pass would make the next MeZO step look for reads of theta through it.
        for p in self.model.parameters():
            if p.requires_grad:
                yield from p.detach().view(-1).split(noise.block_size(p.device))

    @torch.no_grad()
    def _visit(self, part: Tensor, in_place: bool) -> None:
        z = self._block("z", part, torch.float32)
        z.normal_(generator=self._generator(part.device))
        if in_place:
            part.add_(z, alpha=SCALE)
        else:
            torch.add(part, z, alpha=SCALE, out=self._block("weights", part, part.dtype))

    def _block(self, name: str, like: Tensor, dtype: torch.dtype) -> Tensor:
        return self._kept(
            name, lambda: torch.empty(noise.block_size(like.device), dtype=dtype, device=like.device)
        )[: like.numel()]

    def _generator(self, device: torch.device) -> torch.Generator:
        return self._kept("generator", lambda: torch.Generator(device))

    def _kept(self, name: str, make: Callable[[], object]) -> object:
        """Return this thread's object with a name, which the first call makes."""
        if not hasattr(self._memory, name):
            setattr(self._memory, name, make())
        return getattr(self._memory, name)
