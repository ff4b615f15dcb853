"""A continual multimodal pretraining benchmark: budgets, streams, scores, and the contract for methods."""

import importlib
from typing import TYPE_CHECKING, Any

from fomo.errors import FomoError, unknown
from fomo.version import __version__

if TYPE_CHECKING:
    from fomo import rng
    from fomo.batch import Batch, Features
    from fomo.budget.memory import host_memory
    from fomo.method import Method, PeriodicOptimizer, Task
    from fomo.position import Position
    from fomo.training.step import contrastive

__all__ = [
    "Batch",
    "Features",
    "FomoError",
    "Method",
    "PeriodicOptimizer",
    "Position",
    "Task",
    "__version__",
    "contrastive",
    "host_memory",
    "rng",
    "unknown",
]

_LAZY = {
    "Batch": "fomo.batch",
    "Features": "fomo.batch",
    "Method": "fomo.method",
    "PeriodicOptimizer": "fomo.method",
    "Task": "fomo.method",
    "Position": "fomo.position",
    "contrastive": "fomo.training.step",
    "host_memory": "fomo.budget.memory",
}


def __getattr__(name: str) -> Any:
    # torch is imported when a method is, not when the command line only wants to print a table.
    if name == "rng":
        return importlib.import_module("fomo.rng")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fomo' has no attribute '{name}'")
