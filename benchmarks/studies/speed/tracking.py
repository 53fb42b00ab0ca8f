"""Tracking beside none: short runs on one core, which training shares with all of wandb's processes.

A block is one worker's life: a tracker that begins, runs one after the other, and the wait for what is still
to be written. Blocks take turns. Runs are IP-SGD's on nano-opt, whose steps are the shortest of suite
`quick`, without evaluations: nothing else of a run is as many rows a second. Two lengths of run tell what a
run costs from what a row costs.
"""

import contextlib
import dataclasses
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import torch

from baselines.ip_sgd import IPSGD
from benchmarks import models, tasks
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation.scoring import Scorer
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies.speed._interleave import interleaved
from benchmarks.studies.speed.scoring import training_batches
from benchmarks.sweep.tracking import RunLog, Tracker

MODES = ("disabled", "offline")
LR = 1e-30
# The first is a short run of `quick` without its evaluations, the second takes as long as a median one.
STEPS = (60, 240)


def tracking(batch_size: int, repeats: int, runs: int) -> list[dict]:
    """One row a length of run and mode: seconds of a run and of a block, and wandb's CPU seconds a run.

    Args:
        batch_size: examples of a step.
        repeats: blocks of each mode; medians over them are reported.
        runs: of a block.
    """
    loaded = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    batches = training_batches("sst2", loaded, batch_size, 8, "builtin")
    scorer = Scorer(loaded, tasks.load("sst2"))
    optimizer = IPSGD(loaded.model, lr=LR)
    shared = {"shape": "nano-opt", "batch_size": batch_size, "runs": runs, "device": "cpu"}
    rows = []
    with tempfile.TemporaryDirectory() as folder, one_core():
        for steps in STEPS:
            spec = from_dict(
                {"method": "ip-sgd", "model": "nano-opt", "task": "sst2", "steps": steps, "lr": LR}
                | {"fo_batch_size": batch_size}
            )
            blocks = {mode: _Block(mode, Path(folder) / "wandb", spec, runs) for mode in MODES}
            ways = {m: lambda _, b=block: b.live(scorer, optimizer, batches) for m, block in blocks.items()}
            times = interleaved(ways, range(repeats), torch.device("cpu"))
            rows += [
                shared
                | {"steps": steps, "wandb": mode, "block_seconds": median(times[mode])}
                | block.found()
                | provenance_fields()
                for mode, block in blocks.items()
            ]
    return rows


class _Block:
    """A mode, and what its blocks took."""

    def __init__(self, mode: str, folder: Path, spec: RunSpec, runs: int) -> None:
        self.mode, self.folder, self.spec, self.runs = mode, folder, spec, runs
        self.run_seconds: list[float] = []
        self.close_seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def live(self, scorer: Scorer, optimizer: IPSGD, batches: Sequence[list[Encoded]]) -> None:
        """One worker's life."""
        before = _cpu_of_children()
        tracker = Tracker(self.mode, self.folder)
        for seed in range(self.runs):
            spec = dataclasses.replace(self.spec, seed=seed)
            begin = time.perf_counter()
            self._run(tracker.begin(spec, "speed"), scorer, optimizer, batches)
            self.run_seconds.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        tracker.close()
        self.close_seconds.append(time.perf_counter() - begin)
        self.cpu_seconds.append(_cpu_of_children() - before)

    def _run(self, run: RunLog, scorer: Scorer, optimizer: IPSGD, batches: Sequence[list[Encoded]]) -> None:
        for step in range(1, self.spec.steps + 1):
            begin = time.perf_counter()
            stats = optimizer.step(fo_loss=lambda step=step: scorer.loss(batches[step % len(batches)]))
            seconds = time.perf_counter() - begin
            run.log(step, loss=float(stats.loss), lr=LR, projected_grad=0.0, step_seconds=seconds)
        run.finish({"status": "done", "score": 0.5})

    def found(self) -> dict[str, float]:
        """Medians over blocks; the first one of each mode warms up."""
        return {
            "run_seconds": median(self.run_seconds[self.runs :]),
            "close_seconds": median(self.close_seconds[1:]),
            "wandb_cpu_seconds": median(self.cpu_seconds[1:]) / self.runs,
        }


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process, and those that it starts, on one core, where the system can be told so."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    if cores:
        os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if cores:
            os.sched_setaffinity(0, cores)
