"""Counting FLOPs: torch's counter, and formulas for what it does not see.

A multiply-add is 2 FLOPs. Counted are matrix products, convolutions and fused attention, forward and backward: the
convention of Roth et al. 2024 (arXiv 2408.14471), whose figures it gives to all printed digits. Decompositions (SVD,
QR, …) are counted apart by the formulas below and charged too; element-wise arithmetic is neither.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import prod
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten
Meter = Callable[[str], AbstractContextManager[None]]
"""``with meter("optimizer"): …`` notes what is done inside under that name."""


class Flops(NamedTuple):
    """``counted`` by torch's counter, ``decomposed`` by the formulas of matrix decompositions; both are charged."""

    counted: int
    decomposed: int

    @property
    def charged(self) -> int:
        """What the budget pays."""
        return self.counted + self.decomposed


Phases = Mapping[str, Flops]
NOTHING = Flops(0, 0)


def unmetered(name: str) -> AbstractContextManager[None]:
    """A meter that counts nothing."""
    return nullcontext()


def charged(phases: Phases) -> int:
    """FLOPs of all phases that the budget pays."""
    return sum(flops.charged for flops in phases.values())


def counted(phases: Phases) -> int:
    """FLOPs of all phases by torch's counter alone, the published convention."""
    return sum(flops.counted for flops in phases.values())


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *rest: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(
    grad: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *rest: Any, **kwargs: Any
) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))


def _native_attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], width: int, *rest: Any, **kwargs: Any
) -> int:
    """The whole attention layer in one call, as inference without gradients uses it: projections and attention."""
    batch, length = query[0], query[1]
    return 8 * batch * length * width * width + 4 * batch * length * length * width


def _per_matrix(formula: Callable[[int, int], float]) -> Callable[..., int]:
    """A formula for one matrix, long side first, over all matrices of a batch."""

    def of_shape(shape: Sequence[int], *rest: Any, **kwargs: Any) -> int:
        m, n = max(shape[-2:]), min(shape[-2:])
        return prod(shape[:-2]) * round(formula(m, n))

    return of_shape


DECOMPOSITIONS: dict[Any, Callable[..., int]] = {
    # Golub and Van Loan, Matrix Computations (4th ed.): 8.6.4 (thin SVD with both sides), 5.2 (QR, thin Q formed),
    # 8.3.3 (symmetric QR with vectors), 4.2 (Cholesky), 3.2 (LU).
    aten._linalg_svd: _per_matrix(lambda m, n: 6 * m * n**2 + 20 * n**3),
    aten.linalg_qr: _per_matrix(lambda m, n: 4 * m * n**2 - 4 / 3 * n**3),
    aten._linalg_eigh: _per_matrix(lambda m, n: 9 * n**3),
    aten.linalg_cholesky_ex: _per_matrix(lambda m, n: n**3 / 3),
    aten.linalg_lu_factor_ex: _per_matrix(lambda m, n: m * n**2 - n**3 / 3),
    aten.linalg_inv_ex: _per_matrix(lambda m, n: 2 * n**3),
}
FORMULAS: dict[Any, Callable[..., int]] = DECOMPOSITIONS | {
    # torch before 2.8 does not count these
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._native_multi_head_attention: _native_attention,
}


class FlopMeter:
    """Counts what is done inside ``with meter(name)``, by name. Names may come again; they add up."""

    def __init__(self) -> None:
        self.phases: dict[str, Flops] = {}
        self._counter: FlopCounterMode | None = None
        self._repeated = NOTHING

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count a phase."""
        self._repeated = NOTHING
        with FlopCounterMode(display=False, custom_mapping=FORMULAS) as self._counter:
            yield
        flops, self._counter = self.so_far(), None
        before = self.phases.get(name, NOTHING)
        total = Flops(before.counted + flops.counted, before.decomposed + flops.decomposed)
        if total.charged:
            self.phases[name] = total

    def so_far(self) -> Flops:
        """What the phase at hand has cost until now."""
        if self._counter is None:
            return NOTHING
        by_operation = self._counter.get_flop_counts().get("Global", {})
        decomposed = sum(flops for operation, flops in by_operation.items() if operation in DECOMPOSITIONS)
        counted = sum(by_operation.values()) - decomposed
        return Flops(counted + self._repeated.counted, decomposed + self._repeated.decomposed)

    def repeat(self, flops: Flops, times: int) -> None:
        """Charge the phase at hand ``times`` more for work that is known to cost the same."""
        more = Flops(
            self._repeated.counted + flops.counted * times, self._repeated.decomposed + flops.decomposed * times
        )
        self._repeated = more

    def declare(self, name: str, flops: int) -> None:
        """Note a phase that is not run, by what it is said to cost."""
        if flops:
            self.phases[name] = Flops(self.phases.get(name, NOTHING).counted + flops, 0)
