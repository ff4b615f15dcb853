"""LoRA: low-rank adaptation (Hu et al. 2022, arXiv 2106.09685). W' = W + scale · B A, B zero at the start.

Differs from the paper in where it stands: ``placement="paper"`` is that of Roth et al. 2024 (arXiv 2408.14471), Q, K
and V of the packed ``in_proj_weight`` separately and the MLP's ``c_proj`` of every block of both towers;
``"all"`` is every linear map. The product is added to the weight, not to the activations. On convolutional
towers the convolutions stay frozen and the attention pool's linear maps are adapted.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import fomo

PLACEMENTS = ("paper", "all")
POOL_MAPS = ("q_proj", "k_proj", "v_proj", "c_proj")


class LowRank(nn.Module):
    """``W + scale · B A`` for ``blocks`` matrices stacked in W [blocks·m, n]: A [blocks, r, n], B [blocks, m, r]."""

    def __init__(self, weight: Tensor, rank: int, scale: float, blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0] // blocks, weight.shape[1]
        bound = 1 / math.sqrt(columns)  # Kaiming uniform with a = √5, as in the LoRA code
        drawn = torch.rand(blocks, rank, columns, generator=generator) * 2 * bound - bound
        self.A = nn.Parameter(drawn.to(weight))
        self.B = nn.Parameter(weight.new_zeros(blocks, rows, rank))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight, same shape."""
        return weight + self.scale * torch.bmm(self.B, self.A).view_as(weight)


def targets(network: nn.Module, placement: str) -> Iterator[tuple[str, nn.Module, str, int]]:
    """Name, module, weight's name and number of stacked matrices of every linear map to adapt."""
    for name, module in network.named_modules():
        leaf = name.rsplit(".", 1)[-1]
        if isinstance(module, nn.MultiheadAttention):
            yield name, module, "in_proj_weight", 3
        elif isinstance(module, nn.Linear) and (placement == "all" or leaf == "c_proj" or leaf in POOL_MAPS):
            yield name, module, "weight", 1


class LoRA(fomo.Method):
    """Train low-rank updates of ``rank``; everything else is frozen. Adapters are kept from task to task.

    Raises:
        FomoError: ``rank`` below 1 or above the smaller side of a matrix, an unknown placement.
    """

    def __init__(self, rank: int = 4, scale: float = 1.0, placement: str = "paper") -> None:
        if placement not in PLACEMENTS:
            raise fomo.unknown("value of trainable.placement", placement, PLACEMENTS)
        self.rank, self.scale, self.placement = rank, scale, placement

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Check the rank against every matrix."""
        for name, module, weight, blocks in targets(network, self.placement):
            rows, columns = getattr(module, weight).shape
            largest = min(rows // blocks, columns)
            if not 1 <= self.rank <= largest:
                raise fomo.FomoError(
                    f"trainable.rank={self.rank}: allowed are 1 to {largest}, the smaller side of {name}."
                )

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Freeze everything; attach adapters where there are none yet or where a merge folded them."""
        network.requires_grad_(False)
        for name, module, weight, blocks in list(targets(network, self.placement)):
            if not parametrize.is_parametrized(module, weight):
                self._attach(module, weight, blocks, fomo.rng.fold(task.seed, "lora", name, task.number))
            module.parametrizations[weight][0].requires_grad_(True)  # type: ignore[index]

    def _attach(self, module: nn.Module, weight: str, blocks: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed % 2**63)
        update = LowRank(getattr(module, weight).data, self.rank, self.scale, blocks, generator)
        parametrize.register_parametrization(module, weight, update)
