"""A continual multimodal pretraining benchmark: budgets, streams, scores, and the contract for methods.

The names in ``__all__`` are what a method may use. The built-in methods import nothing else of the benchmark. ``run``
and ``load`` are for whoever works in Python: they run an experiment, and read a run folder.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fomo.errors import FomoError, unknown
from fomo.version import __version__

if TYPE_CHECKING:
    from fomo import rng
    from fomo.batch import Batch, Features
    from fomo.budget.memory import host_memory
    from fomo.config.plugins import named as plugins
    from fomo.config.targets import check_arguments
    from fomo.loggers.logger import LoggedRun, Logger, Point
    from fomo.method import ListeningOptimizer, Method, PeriodicOptimizer, Task
    from fomo.model import weights
    from fomo.model.weights import Weights
    from fomo.position import Position
    from fomo.results.run import Run, load
    from fomo.running.job import run
    from fomo.system.parted import part_of, total, whole
    from fomo.system.shared_files import file_beside
    from fomo.system.shared_rows import averaged, gathered
    from fomo.training.micro_batches import dropping
    from fomo.training.step import contrastive, encode, symmetric_loss

__all__ = [
    "Batch",
    "Features",
    "FomoError",
    "ListeningOptimizer",
    "LoggedRun",
    "Logger",
    "Method",
    "PeriodicOptimizer",
    "Point",
    "Position",
    "Run",
    "Task",
    "Weights",
    "__version__",
    "averaged",
    "check_arguments",
    "contrastive",
    "dropping",
    "encode",
    "file_beside",
    "gathered",
    "host_memory",
    "load",
    "part_of",
    "plugins",
    "rng",
    "run",
    "symmetric_loss",
    "total",
    "unknown",
    "weights",
    "whole",
]

_LAZY = {
    "Batch": "fomo.batch:Batch",
    "Features": "fomo.batch:Features",
    "ListeningOptimizer": "fomo.method:ListeningOptimizer",
    "LoggedRun": "fomo.loggers.logger:LoggedRun",
    "Logger": "fomo.loggers.logger:Logger",
    "Method": "fomo.method:Method",
    "PeriodicOptimizer": "fomo.method:PeriodicOptimizer",
    "Point": "fomo.loggers.logger:Point",
    "Position": "fomo.position:Position",
    "Run": "fomo.results.run:Run",
    "Task": "fomo.method:Task",
    "Weights": "fomo.model.weights:Weights",
    "averaged": "fomo.system.shared_rows:averaged",
    "check_arguments": "fomo.config.targets:check_arguments",
    "contrastive": "fomo.training.step:contrastive",
    "dropping": "fomo.training.micro_batches:dropping",
    "encode": "fomo.training.step:encode",
    "file_beside": "fomo.system.shared_files:file_beside",
    "gathered": "fomo.system.shared_rows:gathered",
    "host_memory": "fomo.budget.memory:host_memory",
    "load": "fomo.results.run:load",
    "part_of": "fomo.system.parted:part_of",
    "plugins": "fomo.config.plugins:named",
    "rng": "fomo.rng",
    "run": "fomo.running.job:run",
    "symmetric_loss": "fomo.training.step:symmetric_loss",
    "total": "fomo.system.parted:total",
    "weights": "fomo.model.weights",
    "whole": "fomo.system.parted:whole",
}
"""Where each name comes from, as ``MODULE`` or ``MODULE:NAME``: imported when it is asked for, since torch is slow."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fomo' has no attribute '{name}'")
    module, _, attribute = _LAZY[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found
