"""The interface of executors, which run the specs of a sweep in other processes."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

T = TypeVar("T")


class Died(Exception):
    """The process or the machine that ran a spec has died.

    Attributes:
        node_lost: whether the whole machine was lost, for which the run is rarely to blame.
    """

    def __init__(self, message: str, node_lost: bool = False) -> None:
        super().__init__(message)
        self.node_lost = node_lost


class Executor(Protocol):
    """Runs specs in other processes.

    Attributes:
        jobs: number of simultaneous runs; where machines come and go, the present number.
    """

    jobs: int

    def submit(self, work: "Callable[[RunSpec], T]", spec: "RunSpec") -> Future[T]:
        """Queue `work(spec)`; `work` is a function of a module, or a `functools.partial` of one.

        The future returns what `work` returns, and raises what `work` raises, or `Died`. Nothing is retried.
        """

    def close(self, now: bool = False) -> None:
        """End the workers when all work is done, or at once, which drops queued and running work."""
