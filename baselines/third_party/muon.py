"""Muon: orthogonalized momentum for the matrices of hidden layers, and AdamW for all other parameters.

    b     <- b + (1 - momentum) (g - b),   g = grad L(theta)
    theta <- (1 - lr weight_decay) theta - lr a NS( g + momentum (b - g) )

NS is a Newton-Schulz iteration of five steps in bfloat16. It replaces the singular values of a matrix by
values near 1. a = 0.2 sqrt( max(rows, columns) ) gives the update the root mean square of an AdamW update, so
one learning rate serves both parts unless adamw_lr is set. AdamW trains embeddings, the output head (every
parameter outside of the model's base), and parameters that are not matrices. The defaults are those of Muon
and AdamW, except for the weight decay, which is zero, as in the baselines of MeZO and Addax.
Liu et al., arXiv 2502.16982 (the scale a), and Jordan et al., https://kellerjordan.github.io/posts/muon.
Cost: 1 forward, 1 backward; 0 draws of z; 2 passes over the matrices of theta, and 1 over the rest.
Memory: activations, gradients of theta's size, one momentum per matrix and two moments per other parameter in
theta's dtype, and during the update bfloat16 temporaries of the largest matrix.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.validation import within
from baselines.third_party._adapter import Adapter


class Muon(Adapter):
    """Muon (Liu et al., arXiv 2502.16982), `torch.optim.Muon` and `torch.optim.AdamW`.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate of the matrices.
        adamw_lr: learning rate of the other parameters; none uses lr.
        momentum: decay rate of the momentum of the matrices.
        nesterov: orthogonalize g + momentum (b - g) instead of b.
        betas: decay rates of AdamW's two moments.
        weight_decay: decoupled weight decay of all parameters, multiplied by the learning rate.
        params: parameter groups; see `Method`. Each is split into its matrices and its other parameters.
        process_group: ranks that share the work; see `Method`.

    Examples:
        >>> model = nn.Linear(4, 1)
        >>> opt = Muon(model, lr=1e-3)
        >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
        >>> stats.forwards, stats.backwards
        (1, 1)
    """

    label = "Muon"
    paper = "2502.16982"
    optimizer = "torch.optim:Muon"

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        adamw_lr: float | None = None,
        momentum: float = 0.95,
        nesterov: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        if adamw_lr is not None:
            within(adamw_lr, "adamw_lr", low=0)
        self.hidden = {id(p) for p in hidden_matrices(model)}
        settings = {"adamw_lr": adamw_lr, "momentum": momentum, "nesterov": nesterov, "betas": tuple(betas)}
        super().__init__(
            model, lr, params=params, process_group=process_group, weight_decay=weight_decay, **settings
        )

    def build(self, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        """Return Muon for the matrices and AdamW for the other parameters; only one if the other has none."""
        matrices, others = self._split(groups, True), self._split(groups, False)
        settings, found = self.settings, []
        decay = {"weight_decay": settings["weight_decay"]}
        if matrices:
            muon = {"momentum": settings["momentum"], "nesterov": settings["nesterov"]}
            # torch scales "original" for steps of another size than AdamW's.
            found.append(torch.optim.Muon(matrices, lr=lr, adjust_lr_fn="match_rms_adamw", **muon, **decay))
        if others:
            rate = lr if settings["adamw_lr"] is None else settings["adamw_lr"]
            found.append(torch.optim.AdamW(others, lr=rate, betas=settings["betas"], fused=True, **decay))
        return found

    def _split(self, groups: list[dict[str, Any]], hidden: bool) -> list[dict[str, Any]]:
        """Return the groups with only the hidden matrices, or without them; empty groups are left out."""
        found = []
        for group in groups:
            # A parameter may come with its name.
            pairs = [p if isinstance(p, tuple) else (None, p) for p in group["params"]]
            kept = [p if name is None else (name, p) for name, p in pairs if (id(p) in self.hidden) == hidden]
            found += [{**group, "params": kept}] if kept else []
        return found


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable matrices of a model, without those of its embeddings and of its output head.

    The head is everything outside of the model's base, if the model has one, as those of transformers do.
    """
    base = getattr(model, "base_model", model)
    inside = {id(p) for p in base.parameters()} if isinstance(base, nn.Module) else set()
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return [
        p
        for p in model.parameters()
        if p.requires_grad and p.ndim == 2 and id(p) in inside and id(p) not in embeddings
    ]
