"""The timing of a few steps of a run, in a worker process; no row and no checkpoint is written.

The steps are those of the training loop, on the run's own model and rows. Of the first draws of each batch,
the one whose size is closest to the mean is timed.
"""

import dataclasses
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch

from addax.optimizer import Method
from benchmarks import models, tasks
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.data import demonstrations, long_rows
from benchmarks.data.splits import Splits
from benchmarks.data.tokenize import Encoded, encode
from benchmarks.errors import UserError
from benchmarks.evaluation.evaluate import evaluate_each
from benchmarks.memory.search import automatic_threshold
from benchmarks.models import LoadedModel
from benchmarks.profiling.devices import devices_of, hardware_of
from benchmarks.profiling.oom import is_out_of_memory
from benchmarks.profiling.timing import now
from benchmarks.profiling.warm_up import warm_up
from benchmarks.sweep.costs import Costs, Sizes, StepCost
from benchmarks.tasks import Task
from benchmarks.training import run as train
from benchmarks.training.batches import Batches, by_length
from benchmarks.training.counters import RunCounters
from benchmarks.training.loop import Trainer
from benchmarks.training.setup import Setup, set_up

# Timed steps of each kind, after one that warms up.
TIMED = 2
# Draws of batches among which a typical one is chosen.
DRAWS = 64
# The full loss is timed on this many of its chunks.
CHUNKS = 4
# A method's kinds of step repeat within this many steps.
LONGEST_CYCLE = 1000
SPLITS = ("train", "validation", "test")
BATCHES = ("zo_batch_size", "fo_batch_size")


@dataclass(frozen=True)
class Timing:
    """The result of a timing.

    Attributes:
        costs: the costs, or why they are unknown.
        hardware: the hardware that worked, see `hardware_of`.
    """

    costs: Costs | str
    hardware: str | None


def hardware(spec: RunSpec) -> str | None:
    """Return the name of the hardware that works on a run, which a row records, after starting it."""
    devices = devices_of(spec.device)
    warm_up(devices, getattr(torch, spec.dtype))
    return hardware_of(devices)


def measure(spec: RunSpec, folder: str | None, seconds: float) -> Timing:
    """Time a few steps of a run and one batch of its evaluations.

    Args:
        spec: the run.
        folder: the data folder for `data="folder"`.
        seconds: no step is repeated after this time, which begins when the model is ready.

    Returns:
        The costs; if anything fails, the reason in one line.
    """
    timing = _measure(spec, folder, seconds)
    # By now, no exception refers to the model.
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return timing


def _measure(spec: RunSpec, folder: str | None, seconds: float) -> Timing:
    name, trainer = None, None
    try:
        name = hardware(spec)
        began = time.monotonic()
        trainer = _trainer(spec, train.load(spec, folder))
        ready = time.monotonic()
        return Timing(_costs(trainer, ready - began, ready + seconds), name)
    # Whatever fails, the sweep begins, and the run reports it.
    except Exception as error:
        return Timing(_reason(error, trainer), name)


def _reason(error: Exception, trainer: Trainer | None) -> str:
    if is_out_of_memory(error):
        return f"out of memory in {trainer.phase if trainer else 'load'}"
    line = (str(error).strip().splitlines() or ["no message"])[0]
    return line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"


def _trainer(spec: RunSpec, splits: Splits) -> Trainer:
    counters = RunCounters(_batch_sizes(spec))
    setup = set_up(spec, splits, counters, automatic_threshold)
    return Trainer(
        spec,
        setup,
        counters,
        progress=lambda fraction, text: None,
        log=lambda step, **values: None,
        checkpoints=None,
    )


def _costs(trainer: Trainer, setup: float, deadline: float) -> Costs:
    rows, size = trainer.setup.rows, trainer.spec.eval_batch_size
    cycle = _cycle_costs(trainer, deadline) if trainer.optimizer else ()
    # On a CPU, a run ends with a step of each kind that measures memory.
    last = 0.0 if trainer.memory.gpus else sum(step.seconds for step in set(cycle))
    tokens = {split: padded(by_length(rows[split], size)) for split in ("validation", "test")}
    per_token = _seconds_per_token(trainer, by_length(rows["validation"], size), deadline)
    return Costs(
        setup + last,
        cycle,
        per_token * tokens["validation"],
        per_token * tokens["test"],
        tokens["validation"],
        tokens["test"],
    )


def padded(batches: Sequence[Sequence[Encoded]]) -> int:
    """Return the number of tokens in batches, each of which is padded to its longest example."""
    return sum(len(batch) * max(e.length for e in batch) for batch in batches)


def _cycle_costs(trainer: Trainer, deadline: float) -> tuple[StepCost, ...]:
    """Return the cost of each step of the method's cycle, after timing each kind of step."""
    optimizer, whole = trainer.optimizer, trainer.setup
    trainer.setup = sample = _sample(whole, trainer.spec.eval_batch_size)
    first_kind, first = optimizer.next_closures(), _timed_step(trainer)
    kinds, costs = cycle_of(optimizer), {}
    for position, kind in enumerate(kinds):
        if kind in costs:
            continue
        timed = [first] if kind == first_kind else []
        # The full loss warms up on the first of its chunks.
        needed = 1 if "full_loss" in kind else 1 + TIMED
        while not timed or (len(timed) < needed and time.monotonic() < deadline):
            optimizer.steps = position
            timed.append(_timed_step(trainer))
        cost = dataclasses.replace(timed[-1], seconds=median(step.seconds for step in timed[1:] or timed))
        costs[kind] = _of_all_rows(cost, kind, whole, sample, trainer.spec.eval_batch_size)
    trainer.setup = whole
    return tuple(costs[kind] for kind in kinds)


def cycle_of(optimizer: Method) -> list[tuple[str, ...]]:
    """Return the closures of each step of the shortest cycle that a method repeats, after its first step."""
    if optimizer.step_kinds == 1:
        return [optimizer.next_closures()]
    steps, kinds = optimizer.steps, []
    for step in range(LONGEST_CYCLE):
        optimizer.steps = step
        kinds.append(optimizer.next_closures())
    optimizer.steps = steps
    length = next(n for n in range(1, LONGEST_CYCLE + 1) if kinds[n:] == kinds[:-n])
    return kinds[:length]


def _timed_step(trainer: Trainer) -> StepCost:
    counters = trainer.counters
    examples, work = counters.examples, counters.forward_equivalents
    trainer.train_step()
    seconds = counters.step_seconds[-1]
    return StepCost(seconds, counters.examples - examples, counters.forward_equivalents - work)


def sizes(spec: RunSpec, folder: str | None) -> Sizes | str:
    """Return the sizes of the batches of a run; if they cannot be computed, the reason in one line."""
    try:
        splits, task = train.load(spec, folder), tasks.load(spec.task)
        loaded = models.load_tokenizer(spec.model, spec.trust_remote_code)
        rows = {name: _encoded(spec, splits, name, task, loaded) for name in SPLITS}
        if spec.train_on == "short":
            tokens = long_rows.tokens_of(spec.long_above, rows["train"])
            rows["train"] = long_rows.short_rows(rows["train"], tokens, spec.task)
        evaluated = {name: padded(by_length(rows[name], spec.eval_batch_size)) for name in SPLITS}
        examples = {"full": float(len(rows["train"]))}
        tokens = {"full": float(evaluated["train"])}
        if spec.method != ZERO_SHOT:
            batches = TypicalBatches(Batches(spec, rows["train"], _batch_sizes(spec), automatic_threshold))
            examples |= {part: float(len(indices)) for part, indices in batches.at(0).items()}
            tokens |= batches.tokens
        return Sizes(examples, tokens, evaluated["validation"], evaluated["test"])
    except Exception as error:
        return _reason(error, None)


def _encoded(spec: RunSpec, splits: Splits, name: str, task: Task, loaded: LoadedModel) -> list[Encoded]:
    """Return the rows of a split as `set_up` encodes them."""
    examples = getattr(splits, name)
    if not spec.demonstrations or name == "train":
        return encode(examples, task, loaded, spec.head)
    count, seed = spec.demonstrations, spec.data_seed
    return demonstrations.encode_after(splits.train, examples, count, seed, task, loaded)[0]


def _batch_sizes(spec: RunSpec) -> dict[str, int]:
    sizes = {name: spec.settings[name] for name in BATCHES if name in spec.settings}
    return sizes | {"eval_batch_size": spec.eval_batch_size}


class TypicalBatches:
    """Batches of a run whose every draw is the same: of the first draws, the one of the most usual size.

    Args:
        batches: the batches of the run.

    Attributes:
        tokens: mean number of tokens in the batch of each part, with padding.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches, self._indices = batches, {}
        self.assignment, self.of, self.heavier = batches.assignment, batches.of, batches.heavier
        self.tokens: dict[str, float] = {}
        draws = [batches.at(step) for step in range(DRAWS)]
        for part in draws[0]:
            chosen = [draw[part] for draw in draws]
            tokens = [padded([batches.of({part: indices})[part]]) for indices in chosen]
            self.tokens[part] = mean = fmean(tokens)
            _, self._indices[part] = min(
                zip(tokens, chosen, strict=True), key=lambda pair: abs(pair[0] - mean)
            )

    def at(self, step: int) -> dict[str, list[int]]:
        """Return the indices of the typical batches, whatever the step."""
        return self._indices


def _sample(setup: Setup, size: int) -> Setup:
    """Return a setup with typical batches, and for the full loss with evenly spaced chunks of its rows."""
    chunks = by_length(setup.rows["train"], size)
    some = [chunks[i * len(chunks) // CHUNKS] for i in range(CHUNKS)] if len(chunks) > CHUNKS else chunks
    rows = {**setup.rows, "train": [row for chunk in some for row in chunk]}
    return dataclasses.replace(setup, rows=rows, batches=TypicalBatches(setup.batches))


def _of_all_rows(cost: StepCost, kind: Sequence[str], whole: Setup, sample: Setup, size: int) -> StepCost:
    """Return the cost of a step on all training rows. The cost of a full loss is that of its chunks."""
    parts = tuple(name.removesuffix("_loss") for name in kind)
    if "full" not in parts:
        tokens = sum(sample.batches.tokens[part] for part in parts)
        return dataclasses.replace(cost, tokens=tokens, parts=parts)
    tokens = padded(by_length(whole.rows["train"], size))
    rows = len(whole.rows["train"]) / len(sample.rows["train"])
    return StepCost(
        cost.seconds * tokens / padded(by_length(sample.rows["train"], size)),
        cost.examples * rows,
        cost.forward_equivalents * rows,
        tokens,
        parts,
    )


def _seconds_per_token(trainer: Trainer, batches: Sequence[Sequence[Encoded]], deadline: float) -> float:
    """Return the seconds per token of an evaluation, from its batch of the most usual size."""
    mean = fmean(padded([batch]) for batch in batches)
    batch = min(batches, key=lambda batch: abs(padded([batch]) - mean))
    trainer.phase, seconds = "eval", 0.0
    for _ in range(1 + TIMED):
        began = now(trainer.devices)
        evaluate_each(trainer.setup.scorer, batch, len(batch))
        seconds = now(trainer.devices) - began
        if time.monotonic() + seconds > deadline:
            break
    return seconds / padded([batch])
