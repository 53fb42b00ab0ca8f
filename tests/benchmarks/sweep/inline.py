"""Helpers for the tests of sweeps: four tiny specs, and executors that run them in the test's process."""

import io
from concurrent.futures import Future

from rich.console import Console

from benchmarks.config.spec import from_dict
from benchmarks.results import store
from benchmarks.sweep import scheduler
from benchmarks.sweep.executor import Died
from benchmarks.training import checkpoint

TINY = {
    "model": "nano-opt", "task": "sst2", "train_rows": 8, "validation_rows": 4, "test_rows": 4,
    "steps": 1, "evaluations": 1, "lr": 1e-3,
}  # fmt: skip
# The second spec fails: no example is longer than 150 tokens, so D0 is empty.
SPECS = [
    from_dict({"method": "sgd", **TINY, "fo_batch_size": 2}),
    from_dict({"method": "addax", **TINY, "length_threshold": 150}),
    from_dict({"method": "mezo", **TINY, "zo_batch_size": 2}),
    from_dict({"method": "sgd", **TINY, "fo_batch_size": 2, "seed": 1}),
]


class Inline:
    """An executor that runs each spec immediately in this process.

    Attributes:
        runs: the number of runs it was created for.
        closed: the value of `now` passed to `close`; None while the executor is open.
    """

    jobs = 2

    def __init__(self):
        self.runs, self.closed = None, None

    def __call__(self, runs):
        self.runs = runs
        return self

    def submit(self, work, spec):
        future = Future()
        try:
            future.set_result(work(spec))
        except BaseException as error:
            future.set_exception(error)
        return future

    def close(self, now=False):
        self.closed = now


class Dying(Inline):
    """An executor whose process dies instead of running the first spec.

    Args:
        times: number of deaths before the spec runs.
        node_lost: whether the whole machine dies.
        writes_checkpoints: whether the process writes a new checkpoint before each death.
    """

    def __init__(self, times, node_lost=False, writes_checkpoints=False):
        super().__init__()
        self.times, self.node_lost, self.writes_checkpoints = times, node_lost, writes_checkpoints
        self.submitted = []

    def submit(self, work, spec):
        self.submitted.append(spec.id)
        if spec.id != SPECS[0].id or self.submitted.count(spec.id) > self.times:
            return super().submit(work, spec)
        if self.writes_checkpoints:
            last = store.checkpoints("s") / f"{spec.id}-0" / checkpoint.STATE
            last.parent.mkdir(parents=True, exist_ok=True)
            # Replacing the file changes its inode, even if the clock is too coarse to change its time.
            last.with_name("new").write_bytes(b"")
            last.with_name("new").replace(last)
        future = Future()
        future.set_exception(Died("its worker process was ended by SIGKILL", node_lost=self.node_lost))
        return future


def swept(specs, executor=None, **options):
    """Sweep specs as suite "s", and return the number of failed runs and the output."""
    console = Console(file=io.StringIO(), width=60)
    failed = scheduler.sweep(
        "s", specs, make_executor=executor or Inline(), folder=None, console=console, **options
    )
    return failed, console.file.getvalue()
