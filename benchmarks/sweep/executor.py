"""The interface of executors, which run the specs of a sweep in worker processes."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

T = TypeVar("T")


class Died(Exception):
    """The process or the machine that ran a spec died.

    Attributes:
        node_lost: whether the whole machine was lost, which is rarely the run's fault.
    """

    def __init__(self, message: str, node_lost: bool = False) -> None:
        super().__init__(message)
        self.node_lost = node_lost


class Executor(Protocol):
    """An object that runs specs in worker processes.

    Attributes:
        jobs: number of simultaneous runs; on a cluster that grows and shrinks, the current number.
    """

    jobs: int

    def submit(self, work: "Callable[[RunSpec], T]", spec: "RunSpec") -> Future[T]:
        """Queue `work(spec)`; `work` is a module-level function, or a `functools.partial` of one.

        The future returns the result of `work`, or raises its exception or `Died`. Nothing is retried.
        """

    def close(self, now: bool = False) -> None:
        """Stop the workers.

        Args:
            now: cancel queued and running work instead of waiting for it.
        """
