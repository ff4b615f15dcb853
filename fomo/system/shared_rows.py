"""Rows and gradients that the ranks of a run give one another; a process of its own has all of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from fomo.errors import FomoError
from fomo.system.ranks import agreed, exchanged, talking, world

_totals: dict[int, set[int]] = {}
"""While rehearsing: to how many rows of this rank's, from the start to the end of a pool, which of all ranks belong."""


@contextmanager
def rehearsing(counts: Sequence[int]) -> Iterator[None]:
    """While open, fake rows are gathered without an exchange: those of this rank, of a batch with these ``counts``."""
    global _totals
    before = _totals
    here = world()
    ends = [sum(counts[: number + 1]) for number in range(len(counts))]
    own = here.share(counts)
    _totals = {}
    for number, end in enumerate(ends):
        _totals.setdefault(sum(own[: number + 1]), set()).add(end)
    try:
        yield
    finally:
        _totals = before


def largest_scalar(scalar: Tensor) -> Tensor:
    """The largest of the ranks' tensors without dimensions, NaN if one of them is; the host does not wait for it."""
    here = world()
    if here.size == 1:
        return scalar
    found = [torch.empty_like(scalar) for _ in range(here.size)]
    with talking():
        dist.all_gather(found, scalar)
    return torch.stack(found).max()


def gathered(rows: Tensor, num_rows: int | None = None) -> Tensor:
    """The rows of all ranks [n, …] from those of each, in the order of the whole batch; a gradient goes through.

    Whatever is computed of the result is computed alike by every rank, and the mean of their gradients is then that of
    the whole batch.

    Args:
        rows: This rank's, [k, …]: all rows of the batch, or those from its start to the end of a pool.
        num_rows: n, where it is known; else the ranks tell one another how many they have.

    Raises:
        FomoError: of ``num_rows`` this rank has not as many as are given.
    """
    here = world()
    if here.size == 1:
        return rows
    if num_rows is None and isinstance(rows, FakeTensor):
        num_rows = _total(len(rows))
    counts = [int(each[0]) for each in agreed([len(rows)])] if num_rows is None else _counts(num_rows, here.size)
    if len(rows) != counts[here.rank]:
        raise FomoError(
            f"fomo.gathered: of {num_rows} rows rank {here.rank} of {here.size} has {counts[here.rank]}, given are "
            f"{len(rows)}. Give all that it has; with other images in a batch, other `counts` and `whole` too."
        )
    return _Gathered.apply(rows, _order(counts))


def _total(own: int) -> int:
    """Of how many rows this rank has ``own``, in a rehearsal, where nobody can be asked."""
    found = _totals.get(own, ())
    if len(found) != 1:
        raise FomoError(
            f"fomo.gathered: in a rehearsal, where ranks cannot ask one another, {own} rows of this one do not say how "
            "many all have: give num_rows, as sum(batch.whole[:1]) for those of the pretraining pool."
        )
    return next(iter(found))


def _counts(num_rows: int, size: int) -> list[int]:
    return [len(range(rank, num_rows, size)) for rank in range(size)]


def _order(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Of each row of the whole batch, its rank and its number there."""
    ranks = range(len(counts))
    return [(rank, number) for number in range(max(counts)) for rank in ranks if number < counts[rank]]


class _Gathered(torch.autograd.Function):
    """All rows from each rank's; of their gradients, each rank has the sum of what all ranks computed for its rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: list[tuple[int, int]]) -> Tensor:
        """The rows [n, …] of all ranks."""
        here = world()
        ctx.order = order
        most = 1 + max((number for _, number in order), default=-1)
        if isinstance(rows, FakeTensor):
            return rows.new_empty((len(order), *rows.shape[1:]))
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(here.size)]
        with talking():
            dist.all_gather(found, padded)
        places = [rank * most + number for rank, number in order]
        return torch.cat(found)[torch.tensor(places, device=rows.device)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of this rank's rows."""
        return _Summed.apply(gradient, ctx.order), None


class _Summed(torch.autograd.Function):
    """Of what all ranks have for all rows, the sums for this rank's; the gradient of a gradient goes back by it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: list[tuple[int, int]]) -> Tensor:
        """This rank's [k, …], of rows [n, …]."""
        ctx.order = order
        if not isinstance(rows, FakeTensor):
            rows = rows.contiguous().clone()
            with talking():
                dist.all_reduce(rows)
        own = [place for place, (rank, _) in enumerate(order) if rank == world().rank]
        return rows[torch.tensor(own, dtype=torch.long, device=rows.device)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient at all rows."""
        return _Gathered.apply(gradient, ctx.order), None


def in_turn(count: int, make: Callable[[int], Tensor]) -> Iterator[Tensor]:
    """What ``make`` returns for 0 to ``count`` - 1, on all ranks: each makes every N-th, and the rows [k, …] go round.

    Args:
        count: How many there are.
        make: Called with the numbers that are this rank's, in order.
    """
    here = world()
    if here.size == 1:
        yield from map(make, range(count))
        return
    for start in range(0, count, here.size):
        own = make(start + here.rank) if start + here.rank < count else None
        shapes = exchanged(None if own is None else (tuple(own.shape), own.dtype, own.device.type))
        known = next(each for each in shapes if each is not None)
        most = max(each[0][0] for each in shapes if each is not None)
        device = torch.device(known[2])
        padded = torch.zeros((most, *known[0][1:]), dtype=known[1], device=device)
        if own is not None:
            padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in range(here.size)]
        with talking():
            dist.all_gather(found, padded)
        for rows, shape in zip(found, shapes, strict=True):
            if shape is not None:
                yield rows[: shape[0][0]]


def averaged(tensors: Sequence[Any]) -> Sequence[Any]:
    """The means over the ranks of what each has computed, such as gradients, in their memory where that is their own.

    ``None``, which ``torch.autograd.grad`` has for what a loss does not reach, stays.
    """
    here = world()
    if here.size == 1 or any(isinstance(each, FakeTensor) for each in tensors):
        return tensors
    found = [each if each is None or _has_own_memory(each) else each.clone() for each in tensors]
    with talking(), torch.no_grad():
        for each in found:
            if each is not None:
                dist.all_reduce(each)
                each.div_(here.size)
    return found


def _has_own_memory(tensor: Tensor) -> bool:
    """Whether every entry has a place of its own, and the places are all that there are between first and last."""
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()
