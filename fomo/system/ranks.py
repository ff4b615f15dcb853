"""The processes that take one run's steps together, as ``torchrun`` starts them: its ranks. A process of its own is one
of one, and everything here is then the identity.

Of the rows of a batch rank r of N takes r, r + N, r + 2N, …, so that each has its share of every pool. All ranks do the
same in the same order: what one is asked to exchange, all are. Transport is torch.distributed: NCCL between GPUs, gloo
between hosts' memories.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.rendezvous import rendezvous

from fomo.errors import FomoError, RankLost
from fomo.system.torchrun import are_several

JOIN = timedelta(minutes=5)
"""For all ranks to be there."""
PATIENCE = timedelta(minutes=30)
"""For one exchange: a rank may have to draw or download what the others wait for."""
AGREED = 1e-5
"""By what share values may differ that all ranks compute, where algorithms are not deterministic; else by nothing."""
Value = TypeVar("Value")


class World(NamedTuple):
    """Which of a run's processes this is, from 0, and how many there are."""

    rank: int = 0
    size: int = 1

    def rows(self, num_rows: int) -> slice:
        """Those of ``num_rows`` that are this rank's."""
        return slice(self.rank, num_rows, self.size)

    def share(self, counts: Sequence[int]) -> tuple[int, ...]:
        """How many rows of each pool are this rank's, of a batch that has the pools' rows one after the other."""
        found = []
        before = 0
        for count in counts:
            found.append(len(range(before + count)[self.rows(before + count)]) - len(range(before)[self.rows(before)]))
            before += count
        return tuple(found)


ALONE = World()
"""A process of its own."""
_alone = False
_store: Any = None
_totals: Mapping[int, int] = {}


def world() -> World:
    """The ranks of the run at hand; one of one within :func:`alone`."""
    if _alone or not dist.is_initialized():
        return ALONE
    return World(dist.get_rank(), dist.get_world_size())


def is_first() -> bool:
    """Whether this is the rank that writes files and speaks."""
    return world().rank == 0


@contextmanager
def alone() -> Iterator[None]:
    """While open, this process computes as if it were the only one."""
    global _alone
    before = _alone
    _alone = True
    try:
        yield
    finally:
        _alone = before


@contextmanager
def rehearsing(counts: Sequence[int]) -> Iterator[None]:
    """While open, fake rows are gathered without an exchange: those of this rank, of a batch with these ``counts``."""
    global _totals
    before = _totals
    here = world()
    ends = [sum(counts[: number + 1]) for number in range(len(counts))]
    _totals = {sum(here.share(counts)[: number + 1]): end for number, end in enumerate(ends)}
    try:
        yield
    finally:
        _totals = before


@contextmanager
def joined() -> Iterator[World]:
    """Be one of the run's processes during the block, if it was started so: each with a GPU of its own, if it has one.

    Raises:
        FomoError: the others do not come, or there is no GPU for this one, or another rank has the same.
    """
    if not are_several():
        yield ALONE
        return
    _take_gpu()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    global _store
    _store, rank, size = _met()
    dist.init_process_group(backend, store=_store, rank=rank, world_size=size, timeout=PATIENCE)
    _check_gpus()
    yield world()
    dist.destroy_process_group()  # not after an error: it would wait for ranks that are gone


def is_first_to_tell() -> bool:
    """Whether no rank has told yet why the run ends; from then on one has."""
    try:
        return _store is None or bool(_store.add("fomo/told", 1) == 1)
    except RuntimeError:  # whoever kept the store is gone
        return True


def _met() -> tuple[Any, int, int]:
    """The store of the ranks, and rank and size, once all are there."""
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    rank, size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    try:
        store, rank, size = next(rendezvous("env://", timeout=JOIN))
        if store.add("fomo/here", 1) == size:
            store.set("fomo/all", "1")
        store.wait(["fomo/all"], JOIN)
    except (RuntimeError, ValueError, OSError) as error:
        raise FomoError(
            f"rank {rank} of {size}: not all ranks have met at {place} in {JOIN.seconds} s "
            f"({str(error).splitlines()[0]}). Are all hosts started, with the same address, port and number of "
            "processes, and can they reach one another there?"
        ) from None
    return store, rank, size


def _take_gpu() -> None:
    """Leave this process the GPU of its number on the host alone, before anything has looked at one."""
    local = int(os.environ["LOCAL_RANK"])
    count = torch.cuda.device_count()
    if count > 1 and local < count:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[local] if visible else str(local)
    elif count > 1:
        raise FomoError(
            f"rank {os.environ['RANK']} is number {local} on {socket.gethostname()}, which has {count} GPUs: give "
            f"--nproc-per-node={count} at most, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to compute on the CPU."
        )


def _check_gpus() -> None:
    """Refuse two ranks on one GPU."""
    gpu = str(torch.cuda.get_device_properties(0).uuid) if torch.cuda.is_available() else f"none {dist.get_rank()}"
    found = exchanged((socket.gethostname(), gpu))
    twice = next((each for each in found if found.count(each) > 1), None)
    if twice:
        who = " and ".join(str(rank) for rank, each in enumerate(found) if each == twice)
        raise FomoError(
            f"ranks {who} have the same GPU of {twice[0]}: give --nproc-per-node no more than the GPUs of a host, or "
            "hide the GPUs (CUDA_VISIBLE_DEVICES=) to compute on the CPU."
        )


class _Failed(NamedTuple):
    """Sent by a rank that cannot go on, in place of what the others exchange."""

    what: str


def exchanged(value: Value) -> list[Value]:
    """What each rank gives, in their order; values that can be pickled.

    Raises:
        RankLost: another rank says instead that it cannot go on.
    """
    here = world()
    if here.size == 1:
        return [value]
    found: list[Any] = [None] * here.size
    with _talking():
        dist.all_gather_object(found, value)
    for rank, each in enumerate(found):
        if isinstance(each, _Failed):
            raise RankLost(f"rank {rank} could not go on ({each.what}): its error says why.", told=True)
    return found


def from_first(make: Callable[[], Value]) -> Value:
    """What rank 0 makes, on all ranks; the others wait for it.

    Raises:
        FomoError: rank 0 has raised it; on the others :class:`fomo.errors.RankLost`.
    """
    made: list[Value] = []
    with together("rank 0 looks at the run's folder"):
        if is_first():
            made.append(make())
    return exchanged(made)[0][0]


@contextmanager
def together(what: str) -> Iterator[None]:
    """A block that all ranks have to leave without an error; if one does not, all end, and that one says why.

    Args:
        what: What is done, for the message.

    Raises:
        FomoError: on a rank that has failed, its error; on the others :class:`fomo.errors.RankLost`.
    """
    try:
        yield
    except RankLost:
        raise
    except FomoError:
        if world().size > 1:
            with _talking():
                found: list[Any] = [None] * world().size
                dist.all_gather_object(found, _Failed(what))
        raise
    exchanged(None)


def agreed(values: Sequence[float]) -> list[list[float]]:
    """The numbers of every rank, [ranks][n]; all give as many."""
    here = world()
    mine = torch.tensor(list(values), dtype=torch.float64)
    if here.size == 1:
        return [list(values)]
    found = [torch.empty_like(mine) for _ in range(here.size)]
    with _talking():
        dist.all_gather(found, mine)
    return [each.tolist() for each in found]


def check_same(values: Mapping[str, float], why: str) -> None:
    """Refuse numbers that every rank should have computed alike.

    Args:
        values: By name.
        why: What is wrong where they differ, as a sentence.

    Raises:
        FomoError: two ranks differ; the first such value is named.
    """
    if world().size == 1 or not values:
        return
    by_rank = agreed(list(values.values()))
    for name, found in zip(values, zip(*by_rank, strict=True), strict=True):
        other = next((rank for rank, value in enumerate(found) if not _alike(found[0], value)), None)
        if other:
            raise FomoError(f"{name} is {found[0]!r} on rank 0 and {found[other]!r} on rank {other}: {why}")


def _alike(one: float, other: float) -> bool:
    if torch.are_deterministic_algorithms_enabled():
        return one == other or (one != one and other != other)
    both_odd = not (abs(one) < float("inf") or abs(other) < float("inf"))
    return both_odd or abs(one - other) <= AGREED * max(abs(one), abs(other))


def largest_of(values: Sequence[float]) -> list[float]:
    """The largest of what the ranks give, one by one."""
    return [max(each) for each in zip(*agreed(values), strict=True)]


def largest_scalar(scalar: Tensor) -> Tensor:
    """The largest of the ranks' tensors without dimensions, NaN if one of them is; the host does not wait for it."""
    here = world()
    if here.size == 1:
        return scalar
    found = [torch.empty_like(scalar) for _ in range(here.size)]
    with _talking():
        dist.all_gather(found, scalar)
    return torch.stack(found).max()


def most(number: int) -> int:
    """The largest of the ranks' numbers."""
    return int(largest_of([number])[0])


def gathered(rows: Tensor, num_rows: int | None = None) -> Tensor:
    """The rows of all ranks [n, …] from those of each, in the order of the whole batch; a gradient goes through.

    Whatever is computed of the result is computed alike by every rank, and the mean of their gradients is then that of
    the whole batch.

    Args:
        rows: This rank's, [k, …]: all rows of the batch, or those from its start to the end of a pool.
        num_rows: n, where it is known; else the ranks tell one another how many they have.
    """
    here = world()
    if here.size == 1:
        return rows
    if isinstance(rows, FakeTensor):
        return _Gathered.apply(rows, _order(_counts(num_rows or _totals[len(rows)], here.size)))
    counts = _counts(num_rows, here.size) if num_rows else [int(each[0]) for each in agreed([len(rows)])]
    return _Gathered.apply(rows, _order(counts))


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
        ctx.own = [place for place, (rank, _) in enumerate(order) if rank == here.rank]
        most = 1 + max(number for _, number in order)
        if isinstance(rows, FakeTensor):
            return rows.new_empty((len(order), *rows.shape[1:]))
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(here.size)]
        with _talking():
            dist.all_gather(found, padded)
        places = [rank * most + number for rank, number in order]
        return torch.cat(found)[torch.tensor(places, device=rows.device)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of this rank's rows."""
        if not isinstance(gradient, FakeTensor):
            gradient = gradient.contiguous().clone()
            with _talking():
                dist.all_reduce(gradient)
        return gradient[torch.tensor(ctx.own, device=gradient.device)], None


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
        with _talking():
            dist.all_gather(found, padded)
        for rows, shape in zip(found, shapes, strict=True):
            if shape is not None:
                yield rows[: shape[0][0]]


def averaged(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The means over the ranks of what each has computed, such as gradients; in place."""
    here = world()
    if here.size > 1 and not any(isinstance(each, FakeTensor) for each in tensors):
        with _talking(), torch.no_grad():
            for each in tensors:
                dist.all_reduce(each)
                each.div_(here.size)
    return tensors


@contextmanager
def _talking() -> Iterator[None]:
    """While open, a connection that breaks is the end of the run, and no fault of this rank.

    Raises:
        RankLost: it has.
    """
    try:
        yield
    except RuntimeError as error:
        raise lost(error) or error from None


LOST = ("connection", "gloo", "nccl", "timed out", "broken pipe", "process group")
"""Of what torch says when a rank has gone, in small letters."""


def lost(error: RuntimeError) -> RankLost | None:
    """The error as one of a rank that has gone, if it is one: in an exchange, or in the backward pass of DDP."""
    text = str(error)
    if not dist.is_initialized() or not any(word in text.lower() for word in LOST):
        return None
    return RankLost(
        f"rank {dist.get_rank()}: another rank has gone ({text.splitlines()[0][:200]}). The last checkpoint stays: the "
        "same command goes on from it."
    )
