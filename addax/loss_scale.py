"""Loss scale: keep float16 gradients in the range of float16.

    (scale * L).backward();   g = grad / scale

A gradient that overflows does not change its parameter, and it halves the scale of the next step. After
`GROWTH_STEPS` steps in a row without an overflow, the scale doubles. Micikevicius et al., arXiv 1710.03740.
"""

import torch
from torch import Tensor


class LossScale:
    """A dynamic loss scale. It stays on the device, so a step never waits for it."""

    INITIAL = 2.0**15
    GROWTH_STEPS = 1000

    def __init__(self) -> None:
        self.scale: Tensor | None = None
        self.clean: Tensor | None = None
        self.overflows: Tensor | None = None

    def begin(self, device: torch.device) -> Tensor:
        """Return the scale of this step, a float32 scalar."""
        if self.scale is None:
            self.scale = torch.full((), self.INITIAL, dtype=torch.float32, device=device)
            self.clean = torch.zeros((), dtype=torch.int64, device=device)
            self.overflows = torch.zeros((), dtype=torch.int64, device=device)
        # A state that was loaded from a file may be on a different device.
        vars(self).update({name: value.to(device) for name, value in vars(self).items()})
        return self.scale

    def end(self, finite: list[Tensor]) -> None:
        """Adapt the scale.

        `finite` contains one bool scalar per gradient, which is False if it overflowed.
        """
        clean = torch.stack([f.to(self.scale.device) for f in finite])
        all_clean = clean.all()
        self.overflows = self.overflows + (~clean).sum()
        self.clean = (self.clean + 1) * all_clean
        grow = self.clean >= self.GROWTH_STEPS
        self.clean = self.clean * ~grow
        factor = torch.where(all_clean, torch.where(grow, 2.0, 1.0), 0.5)
        self.scale = (self.scale * factor).clamp(1.0, 2.0**24)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the scale and its counters, or an empty dict before the first float16 step."""
        return {} if self.scale is None else vars(self).copy()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a saved state."""
        vars(self).update(state)
