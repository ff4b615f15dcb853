"""Train updates of frozen weights: placing, attaching and keeping them; ``updates.py`` has what each computes.

An update is a parametrization (``torch.nn.utils.parametrize``): evaluation, merging and the stored weights see the
folded weight without knowing of it. Updates are kept from task to task; where a merge folds them, they start anew.
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
    """Freeze everything but an update of rank ``rank`` on each matrix of ``placement``.

    Raises:
        FomoError: ``rank`` below 1 or above the smaller side of a matrix, an unknown placement, nothing to adapt.
    """

    group = "trainable"

    def __init__(self, rank: int, placement: str) -> None:
        if placement not in PLACEMENTS:
            raise fomo.unknown("value of trainable.placement", placement, PLACEMENTS)
        self.rank, self.placement = rank, placement
        # Weak, for a copy of the method must not copy the model.
        self._network: weakref.ref[nn.Module] | None = None

    def update(self, matrix: Matrix, task: fomo.Task) -> nn.Module:
        """The update of one matrix as it starts: no change."""
        raise NotImplementedError

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Check the rank against every matrix."""
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
        """Whether updates are attached; they themselves are in the network's state."""
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
    """Refuse a factor that leaves no gradient, or is no number."""
    if value == 0 or not math.isfinite(value):
        raise fomo.FomoError(f"trainable.{key}={value}: allowed are finite numbers but 0, with which nothing trains.")
    return value


class LoRA(Adapters):
    """W + scale · B A."""

    kind = LowRank

    def __init__(self, rank: int = 4, scale: float = 1.0, placement: str = "paper") -> None:
        super().__init__(rank, placement)
        self.scale = _factor("scale", scale)

    def update(self, matrix: Matrix, task: fomo.Task) -> nn.Module:
        """A drawn for this matrix and task, B zero."""
        seed = fomo.rng.fold(task.seed, "lora", matrix.name, task.number)
        drawn = torch.Generator().manual_seed(seed % 2**63)
        weight = matrix.value.detach()
        return self.kind(weight, self.rank, self.scale, matrix.blocks, drawn, matrix.transposed)


class DoRA(LoRA):
    """LoRA's direction, and a magnitude of its own for each output row."""

    kind = Decomposed


class VeRA(Adapters):
    """W + Λ_b B Λ_d A: vectors b and d per matrix over one frozen random pair, which the run's seed gives."""

    def __init__(self, rank: int = 4, initial: float = 0.1, placement: str = "paper") -> None:
        super().__init__(rank, placement)
        self.initial = _factor("initial", initial)

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Draw the shared pair at the largest shape; it is the same in every task and not stored."""
        super().begin_run(network, seed)
        found = list(matrices(network, self.placement))
        rows, columns = (max(sides) for sides in zip(*(matrix.shape for matrix in found), strict=True))
        drawn = torch.Generator().manual_seed(fomo.rng.fold(seed, "vera") % 2**63)
        A, B = shared_pair(self.rank, rows, columns, drawn)
        self._pair = A.to(found[0].value), B.to(found[0].value)

    def update(self, matrix: Matrix, task: fomo.Task) -> nn.Module:
        """Slices of the shared pair, d constant, b zero."""
        return Shared(matrix.value.detach(), *self._pair, self.initial, matrix.blocks, matrix.transposed)
