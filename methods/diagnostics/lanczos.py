"""Extreme eigenvalues of a symmetric matrix that is known by its products with vectors (Lanczos 1950; Golub and Van
Loan, Matrix Computations, 4th ed., section 10.1).

From a unit vector q₁: r = Aq_j, α_j = q_jᵀr, r ← r − QQᵀr, β_j = ‖r‖, q_{j+1} = r/β_j. The eigenvalues of the m × m
tridiagonal matrix T of α and β (Ritz values) lie within those of A, and the outermost converge first.

What differs: r is made orthogonal to all q before it, twice, since the short recurrence loses that by rounding, and
then finds eigenvalues again and again; and nothing is decided by a value, so that the cost is the same on any matrix:
where the vectors run out (β_j = 0), the rest of T repeats α₁, which lies between the eigenvalues found.
"""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def ritz_values(product: Callable[[Tensor], Tensor], start: Tensor, num_steps: int) -> Tensor:
    """The Ritz values [m] of a symmetric matrix [n, n], in ascending order.

    Args:
        product: Returns the product [n] of the matrix and a vector [n].
        start: The first vector [n], of any length but 0.
        num_steps: m, how many products are made; 1 to n.
    """
    basis = start.new_zeros(num_steps, len(start))
    vector = start / start.norm()
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    is_left = torch.ones((), dtype=torch.bool, device=start.device)
    for step in range(num_steps):
        basis[step] = vector
        found = product(vector)
        diagonal.append(torch.where(is_left, vector.dot(found), diagonal[0] if diagonal else 0))
        rest = _orthogonal(_orthogonal(found, basis[: step + 1]), basis[: step + 1])
        length = rest.norm()
        is_left = is_left & (length > torch.finfo(rest.dtype).eps * found.norm())
        beside.append(torch.where(is_left, length, 0))
        vector = torch.where(is_left, rest / length, 0)
    off = torch.diag(torch.stack(beside)[:-1], 1)
    return torch.linalg.eigvalsh(torch.diag(torch.stack(diagonal)) + off + off.T)


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """What of a vector [n] is orthogonal to the orthonormal rows of a basis [k, n]."""
    return vector - basis.T @ (basis @ vector)
