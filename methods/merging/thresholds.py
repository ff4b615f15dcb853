"""The k-th largest magnitude of a vector that comes in pieces and never lies in memory as a whole.

Exact, by the bits of the magnitudes: those of a non-negative IEEE float order as the float does. One pass counts the
upper 15 bits of all magnitudes, a second one the lower 16 bits of those that share the wanted upper bits. A sample,
where there is one, tells beforehand which upper bits to look at, so that one faster pass is enough; where the sample
misled, or too many magnitudes are equal, the two passes are made.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

Vector = Callable[[], Iterable[Tensor]]
"""Returns the fp32 pieces of a vector, the same at each call."""

UPPER = 2**15
LOWER = 2**16
INFINITE = 0x7F80
"""Upper bits of infinity."""


def magnitudes(vector: Vector, ranks: Sequence[int], sample: Vector | None = None, size: int = 0) -> list[float]:
    """The r-th largest magnitude of ``vector``, ``sort(|v|, descending)[r − 1]``, for each rank r.

    Args:
        vector: returns the vector's fp32 pieces, the same at each call.
        ranks: the ranks r, from 1.
        sample: returns some of the vector's entries, to be faster; the result does not depend on which.
        size: number of entries of the vector; needed with ``sample`` alone.
    """
    found = _guessed(vector, ranks, sample, size) if sample is not None else None
    return _counted(vector, ranks) if found is None else found


def _guessed(vector: Vector, ranks: Sequence[int], sample: Vector, size: int) -> list[float] | None:
    """What :func:`magnitudes` returns, from one pass over windows that the sample points at.

    ``None`` if the windows are wrong or too full.
    """
    uppers = _uppers(sample)
    sampled = int(uppers.sum())
    if not sampled:
        return None
    windows = [_window(_bin(uppers, max(1, rank * sampled // size))[0]) for rank in ranks]
    above = [0] * len(ranks)
    inside = [list[np.ndarray]() for _ in ranks]
    room = size // 8
    for piece in vector():
        magnitude = piece.abs().cpu().numpy()  # NumPy compares and picks several times faster than torch on a CPU
        for index, (low, high) in enumerate(windows):
            above[index] += int(np.count_nonzero(magnitude >= high))
            inside[index].append(magnitude[(magnitude >= low) & (magnitude < high)])
            room -= len(inside[index][-1])
        if room < 0:
            return None
    left = [rank - more for rank, more in zip(ranks, above, strict=True)]
    picked = [np.concatenate(each) for each in inside]
    if not all(1 <= rank <= len(values) for rank, values in zip(left, picked, strict=True)):
        return None
    return [float(np.partition(v, len(v) - rank)[len(v) - rank]) for v, rank in zip(picked, left, strict=True)]


def _window(upper: int) -> tuple[np.float32, np.float32]:
    """The range [low, high) of magnitudes whose upper bits are at most two from ``upper``: about 2% to either side."""
    ends = np.array([max(upper - 2, 0), min(upper + 3, INFINITE)], dtype=np.int32) * LOWER
    low, high = ends.astype(np.int32).view(np.float32)
    return low, high


def _counted(vector: Vector, ranks: Sequence[int]) -> list[float]:
    """What :func:`magnitudes` returns, from two passes that count."""
    uppers = _uppers(vector)
    found = [_bin(uppers, rank) for rank in ranks]
    lowers = _lowers(vector, sorted({upper for upper, _ in found}))
    bits = [upper * LOWER + _bin(lowers[upper], rank)[0] for upper, rank in found]
    return [float(value) for value in torch.tensor(bits, dtype=torch.int32).view(torch.float32)]


def _upper(bits: Tensor) -> Tensor:
    """The upper bits of magnitudes, without the sign."""
    return (bits >> 16).bitwise_and_(UPPER - 1)


def _uppers(vector: Vector) -> Tensor:
    counts = torch.zeros(UPPER, dtype=torch.int64)
    for piece in vector():
        counts += torch.bincount(_upper(piece.view(torch.int32)), minlength=UPPER).cpu()
    return counts


def _lowers(vector: Vector, uppers: Sequence[int]) -> dict[int, Tensor]:
    counts = {upper: torch.zeros(LOWER, dtype=torch.int64) for upper in uppers}
    for piece in vector():
        bits = piece.view(torch.int32)
        shared = _upper(bits)
        for upper, counted in counts.items():
            counted += torch.bincount(bits[shared == upper].bitwise_and_(LOWER - 1), minlength=LOWER).cpu()
    return counts


def _bin(counts: Tensor, rank: int) -> tuple[int, int]:
    """The bin that holds the ``rank``-th largest value, and the value's rank within that bin."""
    at_least = counts.flip(0).cumsum(0)
    index = int(torch.searchsorted(at_least, rank))
    above = int(at_least[index - 1]) if index else 0
    return len(counts) - 1 - index, rank - above
