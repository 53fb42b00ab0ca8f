"""Host time: what a MeZO step costs the host per parameter tensor, beyond two bare forward passes.

A model with many tiny tensors is nothing but overhead. Each way runs in a process of its own, and the
processes take turns, so that slow moments of the machine affect all of them equally. One of them can be
another checkout of this repository.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.profiling.environment import provenance_fields
from benchmarks.studies._host_steps import BATCH, LAYERS, LENGTH, WIDTH

PART = "host time"
SHAPE = f"opt, {LAYERS} layers of width {WIDTH}"
# The embeddings of tokens and positions, the last norm's weight and bias, and those of a layer: two norms,
# four projections of attention, and two of the feed-forward network, each with a bias.
TENSORS = 4 + 16 * LAYERS
WORKER = Path(__file__).with_name("_host_steps.py")
# Steps per turn.
STEPS = 5


class Worker:
    """A process that times steps of one checkout.

    Args:
        checkout: its folder.
        arguments: dtype, device, and optionally the direction.

    Raises:
        UserError: the process fails; the message contains the last line of its output.
    """

    def __init__(self, checkout: Path, *arguments: str) -> None:
        self.checkout = checkout
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(checkout), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> dict[str, dict[str, float]]:
        """Return the seconds of two forward passes ("bare") and of a step, on the clocks "cpu" and "wall"."""
        try:
            self.process.stdin.write(f"{STEPS}\n")
            self.process.stdin.flush()
            if line := self.process.stdout.readline():
                return json.loads(line)
        except BrokenPipeError:
            pass
        self.process.wait()
        last = (self.process.stderr.read().strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{self.checkout}: its MeZO step cannot be timed: {last}")

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def _worker(*arguments: Any) -> Iterator[Worker]:
    worker = Worker(*arguments)
    try:
        yield worker
    finally:
        worker.stop()


def rows_of(dtype: str, device: str, repeats: int, reference: str | None) -> list[dict[str, Any]]:
    """Return a row per way, with the seconds per tensor and step beyond the bare forward passes.

    Args:
        dtype: dtype of the parameters.
        device: "cpu" or "cuda".
        repeats: number of turns of each way; the times are medians over them.
        reference: the folder of another checkout to time beside this one, or None.

    Raises:
        UserError: the reference is not a checkout of this repository, or its step fails.
    """
    ways = {"MeZO": (registry.ROOT,), "MeZO, Rademacher": (registry.ROOT, "rademacher")}
    if reference is not None:
        folder = Path(reference).expanduser().resolve()
        if not (folder / "baselines" / "mezo.py").is_file():
            raise UserError(f"--reference-source {reference}: not a checkout of this repository")
        ways[f"MeZO of {_commit(folder)}"] = (folder,)
    with ExitStack() as stack:
        workers = {
            way: stack.enter_context(_worker(checkout, dtype, device, *direction))
            for way, (checkout, *direction) in ways.items()
        }
        turns: dict[str, list] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, worker in workers.items():
                turns[way].append(worker.turn())
    setting = {"shape": SHAPE, "dtype": dtype, "batch_size": BATCH, "length": LENGTH, "device": device}
    return [
        setting | {"part": PART, "way": way, "tensors": TENSORS} | _costs(found) | provenance_fields(device)
        for way, found in turns.items()
    ]


def _commit(folder: Path) -> str:
    """Return the short commit of a checkout, or the folder's name without git."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return folder.name if done.returncode else done.stdout.strip()


def _costs(turns: Sequence[dict[str, dict[str, float]]]) -> dict[str, float]:
    costs = {"seconds": median(turn["step"]["wall"] for turn in turns)}
    for clock in ("cpu", "wall"):
        beyond = median(turn["step"][clock] - turn["bare"][clock] for turn in turns)
        costs[f"{clock}_seconds_per_tensor"] = beyond / TENSORS
    return costs


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table of the host time of each way, in microseconds per tensor and step."""
    lines = []
    for row in rows:
        same = [r for r in rows if (r["dtype"], r["hardware"]) == (row["dtype"], row["hardware"])]
        reference = next((r for r in same if r["way"].startswith("MeZO of ")), None)
        ratio = None
        if reference is not None and row is not reference:
            ratio = row["cpu_seconds_per_tensor"] / reference["cpu_seconds_per_tensor"]
        lines.append(
            {
                "model": f"{row['shape']}, {row['dtype']}",
                "device": row["device"],
                "step": row["way"],
                "CPU time per tensor (µs)": f"{row['cpu_seconds_per_tensor'] * 1e6:.1f}",
                "wall time per tensor (µs)": f"{row['wall_seconds_per_tensor'] * 1e6:.1f}",
                "relative to the reference": "" if ratio is None else f"{ratio:.2f}",
            }
        )
    return tabulate(lines, "keys", "pipe", disable_numparse=True, colalign=[*["left"] * 3, *["right"] * 3])
