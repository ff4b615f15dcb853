"""A tiny real experiment: the shipped model, drawn pictures, two tasks of three steps, on the CPU.

``runtime.device=cuda`` after it has it compute there; numbers of a GPU are others.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fomo.config.compose import compose
from fomo.config.schema import Resolved, resolve
from fomo.running.prepared import Prepared
from fomo.running.run import execute, prepare

TINY = (
    "stream.adaptation=[pocket_flags,pocket_solids]",
    "stream.retention=[pocket_counting]",
    "stream.pool_size=500",
    "num_tasks=2",
    "batch_size=24",
    "budget=steps",
    "budget.steps=6",
    "stream.test_images=40",
    "evaluation.subset=none",
    "runtime.device=cpu",
)


COUNTED = ("budget=mafs", "budget.steps=null", "budget.total_mafs=30")
"""Overrides for a budget that is counted."""


class Silent:
    """Progress that nobody watches."""

    def planned(self, num_tasks: int, num_steps: int, num_datasets: int) -> None:
        """Nothing."""

    def step(self, task: int, step: int, loss: float) -> None:
        """Nothing."""

    def evaluating(self, task: int, dataset: str) -> None:
        """Nothing."""

    def scored(self, task: int, ka: float, zs: float) -> None:
        """Nothing."""


def resolved(*overrides: str) -> Resolved:
    """The tiny experiment's configuration, with overrides."""
    return resolve(compose([*TINY, *overrides]))


def prepared(*overrides: str) -> Prepared:
    """Its parts, built."""
    return prepare(resolved(*overrides))


def run(folder: Path, *overrides: str) -> Path:
    """The whole run, in ``folder``."""
    execute(prepared(*overrides), folder, Silent())
    return folder


def snapshot(network: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of all entries of the state."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Any]) -> set[str]:
    """Names of entries that are not bit for bit the same."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}
