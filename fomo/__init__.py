"""A continual multimodal pretraining benchmark: budgets, streams, scores, and the contract for methods."""

import importlib
from typing import TYPE_CHECKING, Any

from fomo.errors import FomoError, unknown
from fomo.version import __version__

if TYPE_CHECKING:
    from fomo import rng
    from fomo.loop import contrastive
    from fomo.method import Batch, Features, Method, Task
    from fomo.position import Position

__all__ = [
    "Batch",
    "Features",
    "FomoError",
    "Method",
    "Position",
    "Task",
    "__version__",
    "contrastive",
    "rng",
    "unknown",
]

_LAZY = dict.fromkeys(("Batch", "Features", "Method", "Task"), "fomo.method") | {
    "contrastive": "fomo.loop",
    "Position": "fomo.position",
}


def __getattr__(name: str) -> Any:
    # torch is imported when a method is, not when the command line only wants to print a table.
    if name == "rng":
        return importlib.import_module("fomo.rng")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fomo' has no attribute '{name}'")
