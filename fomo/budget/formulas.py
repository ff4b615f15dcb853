"""FLOPs of operations by the shapes of their arguments, beside those that torch's own counter has.

A formula takes what the operation takes, with shapes in the place of tensors.
"""

from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count, shape_wrapper

from fomo.errors import FomoError

aten = torch.ops.aten
Shape = Sequence[int]
Formula = Callable[..., int]


def _native_attention(query: Shape, key: Shape, value: Shape, width: int, *rest: Any, **kwargs: Any) -> int:
    """The whole attention layer in one call, as inference without gradients uses it: projections and attention."""
    batch, length = query[:2]
    return 8 * batch * length * width * width + 4 * batch * length * length * width


def _encoder_layer(source: Shape, width: int, *rest: Any, **kwargs: Any) -> int:
    """``nn.TransformerEncoderLayer`` in one call; the first map of its MLP is the argument at 14."""
    hidden = rest[12][0]
    return _native_attention(source, source, source, width) + 4 * source[0] * source[1] * width * hidden


def _product(a: Shape, b: Shape, *rest: Any, **kwargs: Any) -> int:
    """a [..., m, n] times b [..., n, k], or times a vector [n]."""
    return 2 * prod(a) * (b[-1] if len(b) > 1 else 1)


def _fourier(signal: Shape, dims: Sequence[int], *rest: Any, **kwargs: Any) -> int:
    """5 n log₂ n for each transform of n points, the convention of FFT benchmarks."""
    return round(5 * prod(signal) * sum(log2(max(signal[dim], 2)) for dim in dims))


def _per_matrix(formula: Callable[[int, int], float]) -> Formula:
    """A formula for one matrix, long side first, over all matrices of a batch."""

    def of_shape(shape: Shape, *rest: Any, **kwargs: Any) -> int:
        n, m = sorted(shape[-2:])
        return prod(shape[:-2]) * round(formula(m, n))

    return of_shape


def _solve(matrix: Shape, right: Shape, *rest: Any, **kwargs: Any) -> int:
    """LU, then two triangular systems of every column of ``right``: a vector per matrix, or a matrix."""
    columns = right[-1] if len(right) == len(matrix) else 1
    return prod(matrix[:-2]) * round(2 / 3 * matrix[-1] ** 3) + 2 * prod(matrix) * columns


def _triangular(num_systems: int, matrix_at: int) -> Formula:
    def of_shapes(*shapes: Any, **kwargs: Any) -> int:
        matrix = shapes[matrix_at]
        right = shapes[1 - matrix_at]
        return num_systems * prod(right) * int(matrix[-1])

    return of_shapes


DECOMPOSITIONS: dict[Any, Formula] = {
    # Golub and Van Loan, Matrix Computations (4th ed.): 8.6.4 (thin SVD with both sides), 5.2 (QR, thin Q formed),
    # 8.3.3 (symmetric QR with vectors), 7.5.6 (QR with Schur vectors), 4.2 (Cholesky), 3.2 (LU), 3.1 (triangular).
    aten._linalg_svd: _per_matrix(lambda m, n: 6 * m * n**2 + 20 * n**3),
    aten.linalg_pinv: _per_matrix(lambda m, n: 8 * m * n**2 + 20 * n**3),
    aten.linalg_qr: _per_matrix(lambda m, n: 4 * m * n**2 - 4 / 3 * n**3),
    aten.geqrf: _per_matrix(lambda m, n: 2 * m * n**2 - 2 / 3 * n**3),
    aten.linalg_householder_product: _per_matrix(lambda m, n: 2 * m * n**2 - 2 / 3 * n**3),
    aten._linalg_eigh: _per_matrix(lambda m, n: 9 * n**3),
    aten.linalg_eig: _per_matrix(lambda m, n: 25 * n**3),
    aten.linalg_cholesky_ex: _per_matrix(lambda m, n: n**3 / 3),
    aten.linalg_lu: _per_matrix(lambda m, n: m * n**2 - n**3 / 3),
    aten.linalg_lu_factor_ex: _per_matrix(lambda m, n: m * n**2 - n**3 / 3),
    aten._linalg_det: _per_matrix(lambda m, n: 2 / 3 * n**3),
    aten._linalg_slogdet: _per_matrix(lambda m, n: 2 / 3 * n**3),
    aten.linalg_inv_ex: _per_matrix(lambda m, n: 2 * n**3),
    aten.cholesky_inverse: _per_matrix(lambda m, n: 2 / 3 * n**3),
    aten._linalg_solve_ex: _solve,
    aten.linalg_solve_triangular: _triangular(1, matrix_at=0),
    aten.cholesky_solve: _triangular(2, matrix_at=1),
    aten._fft_c2c: _fourier,
    aten._fft_r2c: _fourier,
    aten._fft_c2r: _fourier,
}
PRODUCTS: dict[Any, Formula] = {
    # torch before 2.8 does not count attention on the CPU, and no version the products below
    aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, **_: sdpa_flop_count(q, k, v),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, q, k, v, *rest, **_: sdpa_backward_flop_count(grad, q, k, v)
    ),
    aten._native_multi_head_attention: _native_attention,
    aten._transformer_encoder_layer_fwd: _encoder_layer,
    aten.mv: _product,
    aten.addmv: lambda added, a, b, **_: _product(a, b),
    aten._int_mm: _product,
    aten.addbmm: lambda added, a, b, **_: _product(a, b),
    aten._euclidean_dist: lambda a, b, **_: 2 * prod(a) * b[-2],
    aten._cdist_forward: lambda a, b, *rest, **_: 2 * prod(a) * b[-2],
}
FORMULAS: dict[Any, Formula] = {
    **flop_registry,
    **{operation: shape_wrapper(formula) for operation, formula in (DECOMPOSITIONS | PRODUCTS).items()},
}
WITHOUT_FORMULA = frozenset(
    [
        "_cudnn_rnn",
        "mkldnn_rnn_layer",
        "miopen_rnn",
        "_trilinear",
        "_sparse_mm",
        "_sparse_addmm",
        "_sparse_sparse_matmul",
        "mkldnn_linear",
        "linalg_lstsq",
        "linalg_matrix_exp",
        "linalg_ldl_factor_ex",
        "linalg_ldl_solve",
        "linalg_lu_solve",
        "ormqr",
        "lobpcg",
    ]
)
"""Operations that cost much and are not counted: a method that needs one writes it in counted ones."""


def refuse(operation: str) -> FomoError:
    """Why ``operation`` cannot be part of what is budgeted."""
    return FomoError(
        f"{operation} has no formula for its FLOPs, so the budget cannot charge it: write it with matrix products, or "
        f"add one to fomo/budget/formulas.py."
    )
