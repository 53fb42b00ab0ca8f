"""A step beside the evaluations it cannot do without, the released arithmetic and torch's optimizers.

Zeroth-order steps are compared with two bare forwards, first-order ones with a forward and a backward,
Addax with both. All ways share one model, and a learning rate that moves no weight but is not 0, at which
ours would leave the update out; they take turns on the same random tokens, whose next-token loss is the
closure.
"""

from collections.abc import Callable, Collection, Mapping
from statistics import median

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.sgd import SGD
from benchmarks import tasks
from benchmarks.evaluation.scoring import Scorer
from benchmarks.profiling.environment import provenance_fields
from benchmarks.profiling.peak_memory import LiveBytes, run_in_thread
from benchmarks.studies.speed._interleave import interleaved
from benchmarks.studies.speed._published import PublishedMeZO
from benchmarks.studies.speed._shapes import opt
from benchmarks.studies.speed.scoring import nano_tokens_on_opt_125m, training_batches

LR = 1e-30
Step = Callable[[Tensor], object]
# Parts, each with the way that does nothing but evaluate.
BARE = {
    "zeroth order": "two forwards",
    "first order": "forward, backward",
    "mixed": "two forwards; forward, backward",
}


class Counts(TorchDispatchMode):
    """While active, counts normal draws and elements of theta written, both in units of theta's size."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.numel = sum(p.numel() for p in model.parameters())
        self.parameters = list(model.parameters())
        self.drawn = self.written = 0

    @property
    def draws(self) -> float:
        """Generations of z."""
        return self.drawn / self.numel

    @property
    def passes(self) -> float:
        """Passes over theta."""
        return self.written / self.numel

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Runs an operator and counts what it draws and writes."""
        theta = {p.untyped_storage().data_ptr() for p in self.parameters}
        out = func(*args, **(kwargs or {}))
        if func._schema.name.startswith("aten::normal"):
            self.drawn += out.numel()
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(value):
                    self.written += tensor.numel() * (tensor.untyped_storage().data_ptr() in theta)
        return out


def step(
    shape: str,
    dtype: torch.dtype,
    batch_size: int,
    length: int,
    repeats: int,
    device: str,
    parts: Collection[str] = tuple(BARE),
) -> list[dict]:
    """One row a part and way: seconds, seconds beyond the bare evaluations, draws, passes, peak bytes.

    Args:
        shape: one of `benchmarks.studies.speed._shapes.SHAPES`.
        dtype: of the parameters.
        batch_size, length: of the batches, examples and tokens.
        repeats: batches; medians over them are reported.
        device: "cpu" or "cuda".
        parts: those to measure.
    """
    model = opt(shape, dtype, device)
    own = torch.Generator().manual_seed(0)
    vocabulary = model.config.vocab_size
    batches = [
        torch.randint(vocabulary, (batch_size, length), generator=own).to(device) for _ in range(repeats)
    ]
    setting = {
        "shape": shape,
        "dtype": str(dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "length": length,
        "device": device,
        "theta_bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
    }
    rows = []
    for part, ways in _parts(model).items():
        if part not in parts:
            continue
        for name, found in _measured(ways, model, batches, torch.device(device)).items():
            rows.append(setting | {"part": part, "way": name, **found, **provenance_fields()})
        model.zero_grad()
    return rows


def training_step(batch_size: int, repeats: int, device: str, data: str) -> list[dict]:
    """The whole MeZO training step on SST-2, scoring included, ours and released; rows as `step`'s."""
    loaded = nano_tokens_on_opt_125m(device)
    batches = training_batches("sst2", loaded, batch_size, repeats, data)
    shared, released = (
        Scorer(loaded, tasks.load("sst2"), scoring=way) for way in ("shared", "per_candidate")
    )
    ours, published = MeZO(loaded.model, lr=LR, check=False), PublishedMeZO(loaded.model, lr=LR)
    ways = {
        "released": lambda batch: published.step(zo_loss=lambda: released.loss(batch)),
        "ours": lambda batch: ours.step(zo_loss=lambda: shared.loss(batch)),
    }
    times = interleaved(ways, batches, torch.device(device))
    setting = {
        "shape": "opt-125m",
        "dtype": "float32",
        "batch_size": batch_size,
        "device": device,
        "data": data if data == "builtin" else "folder",
        "part": "MeZO on SST-2",
    }
    return [setting | {"way": name, "seconds": median(times[name])} | provenance_fields() for name in ways]


def next_token_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Mean next-token cross-entropy of ids `(batch, seq)`, in float32."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def _parts(model: nn.Module) -> dict[str, Mapping[str, Step]]:
    """The ways of each part, the bare one first."""

    def loss(ids: Tensor) -> Tensor:
        return next_token_loss(model, ids)

    @torch.no_grad()
    def forwards(ids: Tensor) -> None:
        loss(ids)
        loss(ids)

    def backward(ids: Tensor) -> None:
        loss(ids).backward()
        model.zero_grad()

    def torch_step(optimizer: torch.optim.Optimizer) -> Step:
        def work(ids: Tensor) -> None:
            loss(ids).backward()
            optimizer.step()
            optimizer.zero_grad()

        return work

    def method_step(method) -> Step:
        return lambda ids: method.step(**dict.fromkeys(method.closures, lambda: loss(ids)))

    published = PublishedMeZO(model, lr=LR)
    return {
        "zeroth order": {
            BARE["zeroth order"]: forwards,
            "released": lambda ids: published.step(zo_loss=lambda: loss(ids)),
            "released, our noise": method_step(MeZO(model, lr=LR, arithmetic="released")),
            "MeZO": method_step(MeZO(model, lr=LR, check=False)),
        },
        "first order": {
            BARE["first order"]: backward,
            "torch SGD": torch_step(torch.optim.SGD(model.parameters(), lr=LR)),
            "IP-SGD": method_step(IPSGD(model, lr=LR)),
            "SGD": method_step(SGD(model, lr=LR)),
            "torch Adam": torch_step(torch.optim.Adam(model.parameters(), lr=LR, fused=True)),
            "Adam": method_step(Adam(model, lr=LR)),
        },
        "mixed": {
            BARE["mixed"]: lambda ids: (forwards(ids), backward(ids)),
            "Addax": method_step(Addax(model, lr=LR, check=False)),
        },
    }


def _measured(
    ways: Mapping[str, Step], model: nn.Module, batches: list[Tensor], device: torch.device
) -> dict[str, dict]:
    """What each way costs; the first is the bare one."""
    counts = {name: _counted(work, model, batches[0], device) for name, work in ways.items()}
    times = interleaved(ways, batches, device)
    bare = times[next(iter(ways))]
    return {
        name: {
            "seconds": median(seconds),
            "beyond_seconds": median(a - b for a, b in zip(seconds, bare, strict=True)),
            **counts[name],
        }
        for name, seconds in times.items()
    }


def _counted(work: Step, model: nn.Module, batch: Tensor, device: torch.device) -> dict:
    """Draws, passes and peak bytes of a second step; on one thread, since a mode sees its own alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work(batch)
        with Counts(model) as counts:
            work(batch)
        peak = _peak(work, model, batch, device)
    finally:
        torch.set_num_threads(threads)
    return {"draws": counts.draws, "passes": counts.passes, "peak_bytes": peak}


def _peak(work: Step, model: nn.Module, batch: Tensor, device: torch.device) -> int:
    """Peak bytes of what a step makes; theta and what an optimizer keeps between steps are not counted."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work(batch)
        return torch.cuda.max_memory_allocated(device) - before

    def alone() -> int:
        with LiveBytes([*model.parameters()]) as tracker:
            before = tracker.live
            work(batch)
        return tracker.peak - before

    # Where no scratch of larger tensors is left of earlier work.
    return run_in_thread(alone)
