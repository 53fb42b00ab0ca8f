"""Addax: fine-tuning on little memory, with one zeroth-order and one in-place first-order estimate a step."""

from addax.addax import Addax
from addax.assignment import Assignment, assign
from addax.optimizer import StepStats

__all__ = ["Addax", "Assignment", "StepStats", "assign"]
