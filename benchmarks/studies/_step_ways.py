"""The ways to take a step that the study of step speed compares, by part."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from benchmarks.studies._floor import Floor
from benchmarks.studies._published_mezo import PublishedMeZO

LR = 1e-30
#: The batches of the zeroth-order and of the first-order losses: token ids `(batch, seq)`.
Batches = tuple[Tensor, Tensor]
Step = Callable[[Batches], object]
# Parts of the study, each with its baseline: the bare loss evaluations.
BARE = {
    "zeroth order": "two forwards",
    "variance reduction": "four forwards",
    "first order": "forward, backward",
    "mixed": "two forwards; forward, backward",
}
FLOOR = "three draws, three passes"


@dataclass(frozen=True)
class Way:
    """One way to take a step.

    Attributes:
        name: its name in tables.
        build: returns the step; called just before the way is measured.
        keeps_state: whether it keeps tensors as large as theta between steps. It is then measured apart from
            the others, so that only one such state exists at a time.
        evaluates: whether the step evaluates losses. Its time beyond the bare evaluations is otherwise its
            whole time.
    """

    name: str
    build: Callable[[], Step]
    keeps_state: bool = False
    evaluates: bool = True


def next_token_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the mean next-token cross-entropy of ids `(batch, seq)`, in float32."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def ways_of(model: nn.Module) -> Mapping[str, list[Way]]:
    """Return the ways of each part, the bare evaluations first. Nothing is built yet."""

    @torch.no_grad()
    def forwards(batches: Batches) -> None:
        next_token_loss(model, batches[0])
        next_token_loss(model, batches[0])

    def backward(batches: Batches) -> None:
        next_token_loss(model, batches[1]).backward()
        model.zero_grad()

    def both(batches: Batches) -> None:
        forwards(batches)
        backward(batches)

    def four(batches: Batches) -> None:
        forwards(batches)
        forwards(batches)

    def released() -> Step:
        published = PublishedMeZO(model, lr=LR)
        return lambda batches: published.step(zo_loss=lambda: next_token_loss(model, batches[0]))

    def torch_step(build: Callable[..., torch.optim.Optimizer], **options: object) -> Callable[[], Step]:
        def build_step() -> Step:
            optimizer = build(model.parameters(), lr=LR, **options)

            def work(batches: Batches) -> None:
                next_token_loss(model, batches[1]).backward()
                optimizer.step()
                optimizer.zero_grad()

            return work

        return build_step

    def method_step(build: Callable, **options: object) -> Callable[[], Step]:
        return lambda: _step_of(build(model, lr=LR, **options), model)

    return {
        "zeroth order": [
            Way(BARE["zeroth order"], lambda: forwards),
            Way(FLOOR, lambda: Floor(model), evaluates=False),
            Way("released", released),
            Way("released, our noise", method_step(MeZO, arithmetic="released")),
            Way("MeZO", method_step(MeZO)),
            Way("MeZO, Rademacher", method_step(MeZO, direction="rademacher")),
        ],
        # The untimed first step sets the anchor; all others are minibatch steps.
        "variance reduction": [
            Way(BARE["variance reduction"], lambda: four),
            Way("MeZO-SVRG", method_step(MeZOSVRG, anchor_every=sys.maxsize), keeps_state=True),
        ],
        "first order": [
            Way(BARE["first order"], lambda: backward),
            Way("torch SGD", torch_step(torch.optim.SGD)),
            Way("IP-SGD", method_step(IPSGD)),
            Way("SGD", method_step(SGD)),
            Way("torch Adam", torch_step(torch.optim.Adam, fused=True), keeps_state=True),
            Way("Adam", method_step(Adam), keeps_state=True),
        ],
        "mixed": [
            Way(BARE["mixed"], lambda: both),
            Way("Addax", method_step(Addax)),
        ],
    }


def _step_of(method: torch.optim.Optimizer, model: nn.Module) -> Step:
    def work(batches: Batches) -> None:
        batch_of = {"zo_loss": batches[0], "fo_loss": batches[1], "full_loss": batches[0]}
        method.step(
            **{
                name: lambda ids=batch_of[name]: next_token_loss(model, ids)
                for name in method.next_closures()
            }
        )

    return work
