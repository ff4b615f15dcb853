"""The k-th largest magnitude of a vector that comes in pieces and never lies in memory as a whole.

Exact: the bits of a non-negative IEEE float order as the float does. One pass counts the upper 15 bits of the
magnitudes (the sign is left out), a second one counts the lower 16 bits of those that share the wanted upper bits.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Vector = Callable[[], Iterable[Tensor]]
"""Gives the fp32 pieces of a vector, the same at each call."""

UPPER, LOWER = 2**15, 2**16


def magnitudes(vector: Vector, ranks: Sequence[int]) -> list[float]:
    """Per rank r (from 1) the r-th largest magnitude of ``vector``: ``sort(|v|, descending)[r − 1]``."""
    uppers = _uppers(vector)
    found = [_bin(uppers, rank) for rank in ranks]
    lowers = _lowers(vector, sorted({upper for upper, _ in found}))
    bits = [upper * LOWER + _bin(lowers[upper], rank)[0] for upper, rank in found]
    return [float(value) for value in torch.tensor(bits, dtype=torch.int32).view(torch.float32)]


def _bits(piece: Tensor) -> Tensor:
    return piece.view(torch.int32)


def _uppers(vector: Vector) -> Tensor:
    counts = torch.zeros(UPPER, dtype=torch.int64)
    for piece in vector():
        upper = (_bits(piece) >> 16).bitwise_and_(UPPER - 1)
        counts += torch.bincount(upper, minlength=UPPER).cpu()
    return counts


def _lowers(vector: Vector, uppers: Sequence[int]) -> dict[int, Tensor]:
    counts = {upper: torch.zeros(LOWER, dtype=torch.int64) for upper in uppers}
    for piece in vector():
        bits = _bits(piece)
        shared = (bits >> 16).bitwise_and_(UPPER - 1)
        for upper, counted in counts.items():
            lower = bits[shared == upper].bitwise_and_(LOWER - 1)
            counted += torch.bincount(lower, minlength=LOWER).cpu()
    return counts


def _bin(counts: Tensor, rank: int) -> tuple[int, int]:
    """The bin that holds the ``rank``-th largest, and its rank among that bin's own."""
    at_least = counts.flip(0).cumsum(0)
    index = int(torch.searchsorted(at_least, rank))
    above = int(at_least[index - 1]) if index else 0
    return len(counts) - 1 - index, rank - above
