"""Updates of a frozen weight W [blocks·m, n], ``blocks`` maps of m outputs and n inputs stacked along the rows.

- LoRA (Hu et al. 2022, arXiv 2106.09685, eq. 3): W + s·B A, A [blocks, r, n] Kaiming uniform with a = √r as in
  the code of Roth et al. 2024 (arXiv 2408.14471), ±√(6/((1 + r)·n)), B [blocks, m, r] zero.
- DoRA (Liu et al. 2024, arXiv 2402.09353, eq. 5 and section 4.3): magnitude · V / ‖V‖, V = W + s·B A, the norm
  taken per output row and held constant in the gradient; magnitude [blocks·m] starts at ‖W‖.
- VeRA (Kopiczko et al. 2024, arXiv 2310.11454, eq. 2): W + Λ_b B Λ_d A; A [r, N] and B [M, r] are frozen, random and
  shared by all weights, each of which takes the first n columns of A and m rows of B; b [blocks, m] starts at 0.1
  and d [blocks, r] at zero, as in the code of Roth et al.; in the paper it is the other way round.

What differs: the product is added to the weight, not to the activations (equal without dropout), so that an update is
a parametrization; DoRA leaves a row of zeros at zero where the papers' formula divides 0 by 0. B A is multiplied again
in DoRA's backward pass: as often as in the code of Roth et al., which does so twice in the forward pass.
"""

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from methods.lora.matrices import Matrix


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """A tensor of ``shape`` drawn uniformly from ±``bound``."""
    return torch.rand(shape, generator=generator) * 2 * bound - bound


class Update(nn.Module):
    """A parametrization of one weight. A subclass says in :meth:`adapted` what it makes of W [blocks·m, n]."""

    def __init__(self, matrix: Matrix) -> None:
        super().__init__()
        self.transposed = matrix.transposed

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight in the shape that ``weight`` is stored in, [blocks·m, n] or [n, blocks·m]."""
        return self.adapted(weight.T).T if self.transposed else self.adapted(weight)

    def adapted(self, weight: Tensor) -> Tensor:
        """The adapted weight [blocks·m, n] of ``weight`` [blocks·m, n]."""
        raise NotImplementedError


class LowRank(Update):
    """LoRA: ``W + scale · B A`` for each of a matrix's maps.

    Args:
        matrix: what is adapted, and whose device and type the update has.
        rank: r, rows of A and columns of B.
        scale: s, factor of the product.
        generator: what A is drawn from; B starts at zero.
    """

    def __init__(self, matrix: Matrix, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__(matrix)
        rows, columns = matrix.shape
        drawn = uniform((matrix.blocks, rank, columns), math.sqrt(6 / ((1 + rank) * columns)), generator)
        self.A = nn.Parameter(drawn.to(matrix.stacked))
        self.B = nn.Parameter(matrix.stacked.new_zeros(matrix.blocks, rows, rank))
        self.scale = scale

    def adapted(self, weight: Tensor) -> Tensor:
        """``W + scale · B A`` [blocks·m, n]."""
        return low_rank(weight, self.A, self.B, self.scale)


def low_rank(weight: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """``weight + scale · B A`` [blocks·m, n], A [blocks, r, n], B [blocks, m, r]."""
    return weight + scale * torch.bmm(B, A).view_as(weight)


class Decomposed(LowRank):
    """DoRA: each output row has the direction of LoRA's weight, and a length that is trained apart.

    Args:
        matrix: what is adapted; device, type and the lengths to start from are those of its weight.
        rank: r, rows of A and columns of B.
        scale: s, factor of the product B A.
        generator: what A is drawn from; B starts at zero.
    """

    def __init__(self, matrix: Matrix, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__(matrix, rank, scale, generator)
        self.magnitude = nn.Parameter(torch.linalg.vector_norm(matrix.stacked, dim=1))

    def adapted(self, weight: Tensor) -> Tensor:
        """``magnitude · V / ‖V‖`` [blocks·m, n], V being LoRA's weight.

        The magnitude's gradient needs V: it is computed again in the backward pass, or V of every weight would be held
        through the step.
        """
        given = (weight, self.A, self.B, self.magnitude, self.scale)
        result: Tensor = checkpoint(decomposed, *given, use_reentrant=False, preserve_rng_state=False)
        return result


def decomposed(weight: Tensor, A: Tensor, B: Tensor, magnitude: Tensor, scale: float) -> Tensor:
    """``magnitude · V / ‖V‖`` [blocks·m, n], V being :func:`low_rank`'s weight and ‖V‖ [blocks·m] a constant."""
    direction = low_rank(weight, A, B, scale)
    norm = torch.linalg.vector_norm(direction.detach(), dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
    return (magnitude / norm)[:, None] * direction


class Shared(Update):
    """VeRA: ``W + Λ_b B Λ_d A`` for each of a matrix's maps; only b and d are trained and stored.

    Args:
        matrix: what is adapted, and whose device and type the update has.
        A: the frozen matrix [r, N] that all updates share, of which this one takes the first n columns.
        B: the frozen matrix [M, r] that all updates share, of which this one takes the first m rows.
        b: what every entry of the vector b starts at.
        d: what every entry of the vector d starts at; one of the two is 0.
    """

    A: Tensor
    B: Tensor

    def __init__(self, matrix: Matrix, A: Tensor, B: Tensor, b: float, d: float) -> None:
        super().__init__(matrix)
        rows, columns = matrix.shape
        self.register_buffer("A", A[:, :columns], persistent=False)
        self.register_buffer("B", B[:rows], persistent=False)
        self.d = nn.Parameter(matrix.stacked.new_full((matrix.blocks, A.shape[0]), d))
        self.b = nn.Parameter(matrix.stacked.new_full((matrix.blocks, rows), b))

    def adapted(self, weight: Tensor) -> Tensor:
        """``W + Λ_b B Λ_d A`` [blocks·m, n]."""
        return weight + torch.bmm(self.b[:, :, None] * self.B, self.d[:, :, None] * self.A).view_as(weight)


def shared_pair(rank: int, rows: int, columns: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """VeRA's A [rank, columns] and B [rows, rank], Kaiming uniform: ±√(6 / fan-in).

    Args:
        rank: r, the rank of every update.
        rows: M, the most outputs that a map has.
        columns: N, the most inputs that a map has.
        generator: what both are drawn from, A first.
    """
    A = uniform((rank, columns), math.sqrt(6 / columns), generator)
    B = uniform((rows, rank), math.sqrt(6 / rank), generator)
    return A, B
