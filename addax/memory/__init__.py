"""Predict the peak memory of a step without a GPU and without allocating the model.

    peak = max over phases of the step ( bytes alive )

The method takes a step on meta tensors, which have shapes but no values, and every allocation is recorded.
`predict_peak` takes a function that builds a model and its optimizer, and a function that returns the
closures. Two thirds of the peak of this small model are cuBLAS's workspaces.

Examples:
    >>> import torch
    >>> from torch import nn
    >>> from addax import Addax
    >>> def build():
    ...     model = nn.Sequential(nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 1)).to("meta")
    ...     return model, Addax(model, lr=1e-3)
    >>> def closures_of(model):
    ...     x = torch.empty(64, 1000, device="meta")
    ...     loss = lambda: model(x).square().mean()
    ...     return {"zo_loss": loss, "fo_loss": loss}
    >>> found = predict_peak(build, closures_of, device="cuda", capability=(8, 0))
    >>> f"{found.peak_bytes / 1e6:.0f} MB, of which parameters {found.split['parameters'] / 1e6:.0f} MB"
    '25 MB, of which parameters 4 MB'
"""

from addax.memory.predict import Prediction, predict_peak, trace_steps
from addax.memory.step import TrainingStep
from addax.memory.tracer import KINDS, PhasePeaks

__all__ = ["KINDS", "PhasePeaks", "Prediction", "TrainingStep", "predict_peak", "trace_steps"]
