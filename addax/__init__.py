"""Addax: memory-efficient fine-tuning that mixes zeroth-order estimates with in-place first-order steps.

Classes that need torch are imported on first use: `addax.assignment` and `addax.units` work without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from addax.assignment import Assignment, LengthThreshold, assign

if TYPE_CHECKING:
    from addax.addax import Addax
    from addax.step_stats import StepStats

__all__ = ["Addax", "Assignment", "LengthThreshold", "StepStats", "assign"]

_MODULES = {"Addax": "addax.addax", "StepStats": "addax.step_stats"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
