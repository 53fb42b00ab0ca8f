"""Executors: what runs the specs of a sweep, one file each, behind one interface."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from benchmarks.spec import RunSpec

T = TypeVar("T")


class Died(Exception):
    """The process or the machine that ran a spec is gone.

    Attributes:
        node_lost: whether a whole machine went, which is nobody's fault.
    """

    def __init__(self, reason: str, node_lost: bool = False) -> None:
        super().__init__(reason)
        self.node_lost = node_lost


class Executor(Protocol):
    """Runs specs on processes that live over many runs.

    Attributes:
        jobs: runs at once.
    """

    jobs: int

    def submit(self, work: Callable[[RunSpec], T], spec: RunSpec) -> Future[T]:
        """A future of `work(spec)` in a worker; it raises `Died` if the worker did not live to the end."""

    def close(self, now: bool = False) -> None:
        """Lets the workers go when they have finished, or at once."""
