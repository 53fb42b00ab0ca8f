"""Benchmark harness: runs every method on every task and model, and measures every run.

Extensions and scripts import these names. Each name loads on first use:

    from benchmarks import RunSpec, from_dict    # runs, for a suite
    from benchmarks import Hub, Task             # tasks
    from benchmarks import Family                # model families
    from benchmarks import Option, Study         # studies

>>> from benchmarks import from_dict
>>> spec = from_dict({"method": "mezo", "model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 10})
>>> spec.settings["eps"], spec.budget
(0.001, ('steps', 10))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec, from_dict
    from benchmarks.models import Family
    from benchmarks.studies import Option, Study
    from benchmarks.tasks import Hub, Task

__all__ = ["Family", "Hub", "Option", "RunSpec", "Study", "Task", "from_dict"]

_MODULES = {
    "Family": "models",
    "Hub": "tasks",
    "Option": "studies",
    "RunSpec": "config.spec",
    "Study": "studies",
    "Task": "tasks",
    "from_dict": "config.spec",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, which keeps `python -m benchmarks --help` fast."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"benchmarks.{_MODULES[name]}"), name)
