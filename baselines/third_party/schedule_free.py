"""Schedule-Free: AdamW that averages its iterates instead of lowering the learning rate, by schedulefree.

    y     = (1 - b1) z + b1 x,   v <- b2 v + (1 - b2) g^2,   g = grad L(y)
    z     <- z - lr ( g / ( sqrt(v_hat) + eps ) + weight_decay y )
    x     <- (1 - c) x + c z,   c = lr^2 / (sum of lr^2 of all steps)
    theta is y while training, and theta <- x for evaluations, checkpoints, and saved models

v_hat is v / (1 - b2^t). The parameters hold y between steps. `evaluation_weights()` puts the average x into
them, and puts y back bit for bit afterward. There is no schedule: the average replaces it. The defaults are
those of the authors' package, without warmup.
Defazio et al., arXiv 2405.15682, Algorithm 1.
Cost: 1 forward, 1 backward; 0 draws of z; 2 passes over theta, after the backward.
Memory: activations, gradients of theta's size, z and v, of theta's size, in theta's dtype, and during an
evaluation a copy of y.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax.groups import check_setting
from baselines.third_party._adapter import Adapter
from baselines.third_party._packages import optional

# The entry of a parameter's saved state that holds its value of y.
TRAINED = "y"


class ScheduleFree(Adapter):
    """Schedule-Free AdamW (Defazio et al., arXiv 2405.15682), `schedulefree.AdamWScheduleFree`.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        betas: decay rates: the weight b1 of x in y, and that of the second moment, b2.
        eps: summand of the denominator.
        weight_decay: decoupled weight decay at y, multiplied by lr.
        warmup_steps: number of steps over which the learning rate rises linearly from zero.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    Raises:
        ValueError: schedulefree is not installed, or for a reason listed under `Method`.
    """

    label = "Schedule-Free"
    paper = "2405.15682"
    optimizer = "schedulefree:AdamWScheduleFree"
    takes_schedule = False

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        check_setting(betas, "betas", "betas")
        if not betas[0]:
            raise ValueError("betas must begin with a number above 0: the average x is computed from y by it")
        if any(p.dtype == torch.float16 for p in model.parameters() if p.requires_grad):
            raise ValueError(
                "float16 parameters would get float16 moments, in which eps is zero, so that the update of a "
                "weight with a zero gradient is not finite: use bfloat16 or float32"
            )
        settings = {"betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        self.trained: dict[nn.Parameter, Tensor] | None = None
        super().__init__(
            model, lr, params=params, process_group=process_group, warmup_steps=warmup_steps, **settings
        )

    def build(self, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        """Return AdamWScheduleFree, which expects y in the parameters."""
        with optional("schedulefree", "schedule-free"):
            import schedulefree
        # Its other form keeps temporaries of theta's size.
        optimizer = schedulefree.AdamWScheduleFree(groups, lr=lr, foreach=False, **self.settings)
        optimizer.train()
        return [optimizer]

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Hold the averaged weights x in the parameters; afterward put y back, bit for bit."""
        if self.trained is not None:
            yield
            return
        # The package computes y from x again, which rounds.
        self.trained = {p: p.detach().clone() for p in self.indices}
        try:
            self.inner[0].eval()
            yield
        finally:
            self._train(self.trained)
            self.trained = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state. While the parameters hold x, it includes y."""
        found = super().state_dict()
        if self.trained is None:
            return found
        parameters = [p for group in self.param_groups for p in group["params"]]
        state = dict(found["state"])
        for number, p in enumerate(parameters):
            state[number] = {**state.get(number, {}), TRAINED: self.trained[p]}
        return found | {"state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state. If it includes y, the parameters then hold y; otherwise they keep their values."""
        entries = state_dict.get("state", {})
        trained = {k: entry[TRAINED] for k, entry in entries.items() if TRAINED in entry}
        state = {k: {n: v for n, v in entry.items() if n != TRAINED} for k, entry in entries.items()}
        super().load_state_dict(state_dict | {"state": state})
        parameters = [p for group in self.param_groups for p in group["params"]]
        self._train({parameters[k]: y for k, y in trained.items()})

    def _train(self, trained: dict[nn.Parameter, Tensor]) -> None:
        """Put y into the parameters, and let the optimizer continue with it."""
        with torch.no_grad():
            for p, y in trained.items():
                p.copy_(y)
        for group in self.param_groups:
            group["train_mode"] = True
