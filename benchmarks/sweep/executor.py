"""Where the runs of a sweep take place: one file an executor, all with this interface."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

T = TypeVar("T")


class Died(Exception):
    """The process or the machine that ran a spec is gone, and the run with it.

    Attributes:
        node_lost: whether the whole machine went, which says nothing against the run.
    """

    def __init__(self, message: str, node_lost: bool = False) -> None:
        super().__init__(message)
        self.node_lost = node_lost


class Executor(Protocol):
    """Runs specs somewhere else than in this process.

    Attributes:
        jobs: runs at once; where machines come and go, as many as now.
    """

    jobs: int

    def submit(self, work: "Callable[[RunSpec], T]", spec: "RunSpec") -> Future[T]:
        """Queues `work(spec)`; `work` is a function of a module, or a `functools.partial` of one.

        The future returns what `work` returns, and raises what it raises, or `Died`. Nothing is tried twice.
        """

    def close(self, now: bool = False) -> None:
        """Ends the workers: when all work is done, or at once, dropping what is queued or runs."""
