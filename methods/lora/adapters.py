"""Train updates of frozen weights: where they are attached and how they are kept. ``updates.py`` has their formulas.

An update is a parametrization (``torch.nn.utils.parametrize``): evaluation, merging and the stored weights see the
folded weight and know nothing of the update. Updates are kept from task to task; where a merge folds them, new ones
start.
"""

import math
import weakref
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import fomo
from methods.lora.matrices import PLACEMENTS, Matrix, matrices
from methods.lora.updates import Decomposed, LowRank, Shared, shared_pair


class Adapters(fomo.Method):
    """Freeze everything but an update of rank ``rank`` on each matrix of ``placement`` (``matrices.py``).

    Raises:
        FomoError: ``rank`` below 1 or above the smaller side of a matrix, an unknown placement, nothing to adapt.
    """

    group = "trainable"

    def __init__(self, rank: int, placement: str) -> None:
        if placement not in PLACEMENTS:
            raise fomo.unknown("value of trainable.placement", placement, PLACEMENTS)
        self.rank = rank
        self.placement = placement
        # Weak, for a copy of the method must not copy the model.
        self._network: weakref.ref[nn.Module] | None = None

    def update(self, matrix: Matrix, task: fomo.Task) -> nn.Module:
        """A new update of ``matrix``, which starts by changing nothing; its random draws belong to ``task``."""
        raise NotImplementedError

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Check that there is a matrix to adapt and that the rank fits every one of them."""
        found = list(matrices(network, self.placement))
        if not found:
            raise fomo.FomoError(f"trainable.placement={self.placement}: the model has no matrix to adapt.")
        for matrix in found:
            if not 1 <= self.rank <= min(matrix.shape):
                raise fomo.FomoError(
                    f"trainable.rank={self.rank}: allowed are 1 to {min(matrix.shape)}, the smaller side of "
                    f"{matrix.name}."
                )

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Freeze everything; attach updates where there are none yet or where a merge folded them."""
        self._attach(network, task)
        network.requires_grad_(False)
        for update in self._updates(network):
            update.requires_grad_(True)

    def state_dict(self) -> dict[str, Tensor]:
        """``attached``: whether updates are on the network, whose own state holds them."""
        network = self._network() if self._network else None
        return {"attached": torch.tensor(network is not None and bool(self._updates(network)))}

    def load_state_dict(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Attach updates, whose values the network's own state then sets."""
        if state["attached"]:
            self._attach(network, fomo.Task(0, 0, 0, seed=0))

    def _attach(self, network: nn.Module, task: fomo.Task) -> None:
        self._network = weakref.ref(network)
        for matrix in list(matrices(network, self.placement)):
            if not parametrize.is_parametrized(matrix.module, matrix.weight):
                parametrize.register_parametrization(matrix.module, matrix.weight, self.update(matrix, task))

    def _updates(self, network: nn.Module) -> list[nn.Module]:
        return [
            cast(nn.Module, matrix.module.parametrizations[matrix.weight][0])  # type: ignore[index]
            for matrix in matrices(network, self.placement)
            if parametrize.is_parametrized(matrix.module, matrix.weight)
        ]


def _factor(key: str, value: float) -> float:
    """``value``, the setting ``key``; an error if it is 0, which leaves no gradient, or not finite."""
    if value == 0 or not math.isfinite(value):
        raise fomo.FomoError(f"trainable.{key}={value}: allowed are finite numbers but 0, with which nothing trains.")
    return value


class LoRA(Adapters):
    """Train A and B of W + scale · B A for each matrix; A is drawn for the matrix and the task, B starts at zero."""

    kind = LowRank

    def __init__(self, rank: int = 4, scale: float = 1.0, placement: str = "paper") -> None:
        super().__init__(rank, placement)
        self.scale = _factor("scale", scale)

    def update(self, matrix: Matrix, task: fomo.Task) -> nn.Module:
        """A new update of ``matrix``: A drawn from the seed for this matrix and ``task``, B zero."""
        drawn = torch.Generator().manual_seed(fomo.rng.fold(task.seed, "lora", matrix.name, task.number) % 2**63)
        return self.kind(matrix, self.rank, self.scale, drawn)


class DoRA(LoRA):
    """Train LoRA's A and B for the direction of each matrix, and a magnitude for each of its output rows."""

    kind = Decomposed


class VeRA(Adapters):
    """Train vectors b and d of W + Λ_b B Λ_d A for each matrix, over one frozen pair A, B drawn from the run's seed."""

    def __init__(self, rank: int = 4, b: float = 0.1, d: float = 0.0, placement: str = "paper") -> None:
        super().__init__(rank, placement)
        if (b == 0) == (d == 0) or not math.isfinite(b + d):
            raise fomo.FomoError(
                f"trainable.b={b}, trainable.d={d}: one starts at 0, the other at another finite number."
            )
        self.b = b
        self.d = d

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Draw the shared pair at the largest shape, from the run's seed: no task changes it, and no file keeps it."""
        super().begin_run(network, seed)
        found = list(matrices(network, self.placement))
        rows, columns = (max(sides) for sides in zip(*(matrix.shape for matrix in found), strict=True))
        drawn = torch.Generator().manual_seed(fomo.rng.fold(seed, "vera") % 2**63)
        A, B = shared_pair(self.rank, rows, columns, drawn)
        self._pair = (A.to(found[0].value), B.to(found[0].value))

    def update(self, matrix: Matrix, task: fomo.Task) -> nn.Module:
        """A new update of ``matrix``: slices of the shared pair, one of b and d zero."""
        return Shared(matrix, *self._pair, self.b, self.d)
