"""Updates of a frozen weight W [blocks·m, n], ``blocks`` maps of m outputs and n inputs stacked along the rows.

- LoRA (Hu et al. 2022, arXiv 2106.09685, eq. 3): W + s·B A, A [blocks, r, n] Kaiming uniform, B [blocks, m, r] zero.
- DoRA (Liu et al. 2024, arXiv 2402.09353, eq. 5 and section 4.3): magnitude · V / ‖V‖, V = W + s·B A, the norm
  taken per output row and held constant in the gradient; magnitude [blocks·m] starts at ‖W‖.
- VeRA (Kopiczko et al. 2024, arXiv 2310.11454, eq. 2): W + Λ_b B Λ_d A; A [r, N] and B [M, r] are frozen, random and
  shared by all weights, each of which takes the first n columns of A and m rows of B; d [blocks, r] starts at 0.1
  and b [blocks, m] at zero.

What differs: the product is added to the weight, not to the activations (equal without dropout), so that an update is
a parametrization; DoRA leaves a row of zeros at zero where the papers' formula divides 0 by 0.
"""

import math

import torch
from torch import Tensor, nn


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Uniform in ±``bound``."""
    return torch.rand(shape, generator=generator) * 2 * bound - bound


class LowRank(nn.Module):
    """LoRA: ``W + scale · B A`` for each of the ``blocks`` maps. ``transposed``: W is stored [n, m]."""

    def __init__(
        self,
        weight: Tensor,
        rank: int,
        scale: float,
        blocks: int,
        generator: torch.Generator,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        stacked = weight.T if transposed else weight
        rows, columns = stacked.shape[0] // blocks, stacked.shape[1]
        # Kaiming uniform with a = √5, as in the LoRA code
        self.A = nn.Parameter(uniform((blocks, rank, columns), 1 / math.sqrt(columns), generator).to(weight))
        self.B = nn.Parameter(weight.new_zeros(blocks, rows, rank))
        self.scale, self.transposed = scale, transposed

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight, same shape."""
        stacked = weight.T if self.transposed else weight
        adapted = self.adapted(stacked)
        return adapted.T if self.transposed else adapted

    def adapted(self, weight: Tensor) -> Tensor:
        """The adapted weight [blocks·m, n]."""
        return weight + self.scale * torch.bmm(self.B, self.A).view_as(weight)


class Decomposed(LowRank):
    """DoRA: the direction is that of LoRA's weight, the length of each output row is trained apart."""

    def __init__(
        self,
        weight: Tensor,
        rank: int,
        scale: float,
        blocks: int,
        generator: torch.Generator,
        transposed: bool = False,
    ) -> None:
        super().__init__(weight, rank, scale, blocks, generator, transposed)
        stacked = weight.T if transposed else weight
        self.magnitude = nn.Parameter(torch.linalg.vector_norm(stacked, dim=1))

    def adapted(self, weight: Tensor) -> Tensor:
        """The adapted weight [blocks·m, n]."""
        direction = super().adapted(weight)
        norm = torch.linalg.vector_norm(direction.detach(), dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
        return (self.magnitude / norm)[:, None] * direction


class Shared(nn.Module):
    """VeRA: ``W + Λ_b B Λ_d A`` with A and B shared by all weights; only b and d are trained and stored."""

    A: Tensor
    B: Tensor

    def __init__(self, weight: Tensor, A: Tensor, B: Tensor, initial: float, blocks: int, transposed: bool) -> None:
        super().__init__()
        stacked = weight.T if transposed else weight
        rows, columns = stacked.shape[0] // blocks, stacked.shape[1]
        self.register_buffer("A", A[:, :columns], persistent=False)
        self.register_buffer("B", B[:rows], persistent=False)
        self.d = nn.Parameter(weight.new_full((blocks, A.shape[0]), initial))
        self.b = nn.Parameter(weight.new_zeros(blocks, rows))
        self.transposed = transposed

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight, same shape."""
        stacked = weight.T if self.transposed else weight
        product = torch.bmm(self.b[:, :, None] * self.B, self.d[:, :, None] * self.A)
        adapted = stacked + product.view_as(stacked)
        return adapted.T if self.transposed else adapted


def shared_pair(rank: int, rows: int, columns: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """VeRA's A [rank, columns] and B [rows, rank], Kaiming uniform: ±√(6 / fan-in)."""
    A = uniform((rank, columns), math.sqrt(6 / columns), generator)
    return A, uniform((rows, rank), math.sqrt(6 / rank), generator)
