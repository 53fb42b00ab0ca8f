"""Adam 8-bit: Adam whose moments are quantized to 8 bits in blocks of 256 elements, by bitsandbytes.

    m     <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   g = grad L(theta)
    theta <- theta - lr m_hat / ( sqrt(v_hat) + eps )

Each step dequantizes m and v, updates them, and quantizes them again, to the nearest of 256 values relative
to the largest magnitude of their block. The moments of a parameter with fewer than 4096 elements stay in
float32. The defaults are those of Adam, without weight decay, as in the baselines of MeZO and Addax.
Dettmers et al., arXiv 2110.02861.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, gradients of theta's size, and two bytes per element of theta for both moments, plus one
float32 per block and moment. On a CPU, the update also needs float32 temporaries of the size of the largest
parameter, which predictions do not include; a GPU's kernel needs none.
"""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.groups import check_setting
from baselines.third_party._adapter import Adapter
from baselines.third_party._packages import optional


class Adam8bit(Adapter):
    """Adam with 8-bit moments (Dettmers et al., arXiv 2110.02861), `bitsandbytes.optim.Adam8bit`.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        betas: decay rates of the two moments, (b1, b2).
        eps: summand of the denominator.
        weight_decay: decoupled weight decay, multiplied by lr.
        min_8bit_size: the smallest number of elements of a parameter whose moments are quantized.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    Raises:
        ValueError: bitsandbytes is not installed, or for a reason listed under `Method`.
    """

    label = "8-bit Adam"
    paper = "2110.02861"
    optimizer = "bitsandbytes.optim:Adam8bit"

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        min_8bit_size: int = 4096,
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        check_setting(betas, "betas", "betas")
        settings = {"betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            model, lr, params=params, process_group=process_group, min_8bit_size=min_8bit_size, **settings
        )

    def build(self, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        """Return bitsandbytes' Adam8bit."""
        # Its import warns about kernels for 4-bit inference, which training does not use.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
        with optional("bitsandbytes", "bitsandbytes"):
            import bitsandbytes
        return [bitsandbytes.optim.Adam8bit(groups, lr=lr, **self.settings)]
